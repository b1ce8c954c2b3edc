import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type AnyContract,
  event,
  EVENT_MEDIA_TYPES,
  eventsEndpoint,
  integration,
  system,
  unsigned,
} from '../contract/index.ts'
import { bodyOfBytes } from '../ingress/index.ts'
import { METRICS } from '../observe/index.ts'
import { codeOf, openBorder, seen } from './events-endpoint.fixture.ts'
import type { Runtime } from './runtime-port.ts'
import { createWorld, EFFECTS, orderSchema, owners } from './world.fixture.ts'

describe('what is refused of an events endpoint', () => {
  it('is taken again after a mend, as the event that it was', async () => {
    const common = { owner: owners, key: 'key' } as const
    const older = event('parts.made', { ...common, versions: { 1: orderSchema } })
    const newer = event('parts.made', {
      ...common,
      versions: { 1: orderSchema, 2: orderSchema },
      upcast: { 1: (data) => data },
    })
    const world = createWorld()
    const start = (contract: AnyContract): Promise<Runtime> => {
      const endpoint = eventsEndpoint('events', {
        from: system('shop'),
        accepts: [contract],
        verify: unsigned({ reason: 'a test' }),
      })
      const consuming = { ...seen, on: contract }
      return world.start([consuming], {
        build: (parts) => integration('demo', { parts: [endpoint, ...parts], tables: [EFFECTS] }),
      })
    }
    const before = await start(older)
    const said = { specversion: '1.0', id: '1', source: '/shop', type: 'parts.made.v2' }
    const answer = await before.ingress.handle({
      method: 'POST',
      target: '/events',
      rawHeaders: ['Content-Type', 'application/cloudevents+json'],
      body: bodyOfBytes(Buffer.from(JSON.stringify({ ...said, data: { key: 'a', n: 5 } }))),
      remoteAddress: '127.0.0.1',
    })
    await before.close()

    const after = await start(newer)
    const [kept] = (await after.invalid({})).items
    await world.operate({ kind: 'invalid.readmit', ids: [kept?.id ?? ''] })
    await world.pass(1_000)

    expect(codeOf(answer)).toBe('422 JUNCTURA_VERSION_UNKNOWN')
    expect(await world.effects()).toEqual(['a:5'])
    const [message] = (await after.messages({ type: 'parts.made' })).items
    expect(message?.id).toBeDefined()
    expect(await after.message(message?.id ?? '')).toMatchObject({
      envelope: { idempotencykey: '/shop 1', contractversion: 2 },
    })
  })

  it('F44: whatever comes is answered, and never with 5xx', async () => {
    const { send } = await openBorder()
    const mediaType = fc.constantFrom(...EVENT_MEDIA_TYPES)
    const name = fc.constantFrom(
      'ce-id',
      'ce-source',
      'ce-type',
      'ce-time',
      'ce-dataschema',
      'ce-x',
    )
    const text = fc.string({ unit: 'binary-ascii' })
    const member = fc.constantFrom('id', 'source', 'type', 'specversion', 'data', 'data_base64')
    const document = fc.dictionary(member, fc.oneof(fc.jsonValue(), fc.constant('1.0')))
    const body = fc.oneof(fc.json(), document, fc.array(document), text)
    await fc.assert(
      fc.asyncProperty(
        mediaType,
        fc.dictionary(name, text),
        body,
        async (contentType, more, sent) => {
          const headers = { 'ce-specversion': '1.0', ...more }
          const { status } = await send(sent, { contentType, headers })
          expect([200, 202, 400, 409, 413, 415, 422]).toContain(status)
        },
      ),
      { numRuns: 300 },
    )
  })

  it('is kept apart by event, though their data is the same', async () => {
    const { binary, runtime } = await openBorder()
    await binary({ sku: 'x' }, { type: 'stock.moved', id: '1' })
    await binary({ sku: 'x' }, { type: 'stock.moved', id: '2' })

    const { items } = await runtime.invalid({})

    expect(items.map(({ webhook, reason }) => `${webhook} ${reason}`)).toEqual([
      'events/stock.moved version',
      'events/stock.moved version',
    ])
  })

  it('is counted by its reason and its endpoint', async () => {
    const { binary, runtime } = await openBorder()
    await binary({ key: 'a', n: 1 }, { type: 'unknown' })

    const refused = runtime.metrics.read(METRICS.refused)

    expect(JSON.stringify(refused)).toContain('"webhook":"events"')
    expect(JSON.stringify(refused)).toContain('"reason":"event"')
  })
})
