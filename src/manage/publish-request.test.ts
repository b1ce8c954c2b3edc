import { expect, it } from 'vitest'
import { event, integration, jsonSchema, saga, team } from '../contract/index.ts'
import { sagaContract } from '../flow/index.ts'
import { readPublishRequest } from './publish-request.ts'

const owner = team('shop')
const schema = jsonSchema<{ id: string }>({ type: 'object' })
const Placed = event('orders.placed', { owner, key: 'id', versions: { 1: schema } })
const order = saga('order', { version: 1, owner, on: Placed, uses: [] }, async () => undefined)
const declared = integration('shop', { parts: [order] })
const contracts = new Map([...declared.contracts, ['saga.order', sagaContract('order')]])
const running = { ...declared, contracts }

it('takes a message of a contract, and none for the channel of a saga, which is the engine’s', () => {
  const data = { kind: 'operate', act: 'terminate', key: 'a' }
  expect(readPublishRequest({ type: 'orders.placed', data }, running).contract).toBe(Placed)
  const forged = (): unknown => readPublishRequest({ type: 'saga.order', data }, running)
  expect(forged).toThrow(/no such contract/)
})
