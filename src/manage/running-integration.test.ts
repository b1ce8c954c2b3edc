import { afterEach, describe, expect, it } from 'vitest'
import { SCHEMAS } from '../../tools/openapi-schemas.ts'
import { consumer, event, integration, jsonSchema, team } from '../contract/index.ts'
import { createRuntime, type Runtime } from '../runtime/index.ts'
import { compileValidator } from '../schema/index.ts'
import { createMemoryStore } from '../store/index.ts'
import { createVirtualKernel, type VirtualClock } from '../testing/index.ts'
import { createManagementApi } from './index.ts'

const owners = team('owners')

interface Order {
  readonly orderId: string
  readonly email: string
}

const OrderPlaced = event('orders.placed', {
  owner: owners,
  key: 'orderId',
  pii: ['email'],
  versions: {
    1: jsonSchema<Order>({
      type: 'object',
      required: ['orderId', 'email'],
      properties: { orderId: { type: 'string' }, email: { type: 'string' } },
    }),
  },
})

interface Running {
  readonly runtime: Runtime
  readonly clock: VirtualClock
  /** Whether the handler fails. */
  readonly mood: { isBroken: boolean }
  get(path: string, schema: string): Promise<Record<string, unknown>>
  post(path: string, body: object): Promise<Record<string, unknown>>
}

/** In steps, so that what one timer starts is seen before the next is due. */
const pass = async (clock: VirtualClock, seconds: number): Promise<void> => {
  for (let second = 0; second < seconds; second++) await clock.advance(1_000)
}

let runtime: Runtime | undefined

afterEach(() => runtime?.close(0))

async function run(): Promise<Running> {
  const kernel = createVirtualKernel()
  const mood = { isBroken: true }
  const finance = consumer('finance', {
    owner: owners,
    on: OrderPlaced,
    from: 'earliest',
    idempotency: 'transaction',
    retry: { attempts: 2, first: '1s', max: '2s' },
    deadLetter: { alert: owners.oncall },
    afterDeadLetter: 'park',
    replay: 'safe',
    handle: (order) => {
      if (mood.isBroken) throw new RangeError(`no ledger for ${order.email}`)
      return Promise.resolve()
    },
  })
  const store = createMemoryStore({ clock: kernel.clock, random: kernel.random })
  const started = await createRuntime(integration('orders', { parts: [finance] }), {
    kernel,
    store,
  })
  runtime = started
  const api = createManagementApi({ runtime: started })
  const call = async (path: string, body?: object): Promise<Record<string, unknown>> => {
    const answer = await api.handle({
      method: body === undefined ? 'GET' : 'POST',
      target: path,
      rawHeaders: ['host', 'localhost:7071', 'content-type', 'application/json'],
      remoteAddress: '127.0.0.1',
      readBody: () => Promise.resolve({ kind: 'bytes', bytes: Buffer.from(JSON.stringify(body)) }),
    })
    const text = typeof answer.body === 'string' ? answer.body : ''
    expect([answer.status, text]).toEqual([200, text])
    // Personal data is in no answer, whatever was asked (F57).
    expect(text).not.toContain('alice@example.org')
    const value: unknown = JSON.parse(text)
    return { ...(value as object) }
  }
  return {
    runtime: started,
    clock: kernel.clock,
    mood,
    post: call,
    async get(path, schema) {
      const body = await call(path)
      expect([path, faultsIn(schema, body)]).toEqual([path, []])
      return body
    },
  }
}

/** What of a body the OpenAPI document does not say. */
function faultsIn(name: string, body: unknown): readonly unknown[] {
  const text = JSON.stringify({ ...SCHEMAS[name], $defs: SCHEMAS })
  const schema = JSON.parse(text.replaceAll('#/components/schemas/', '#/$defs/'))
  const validation = compileValidator(schema, name).validate(body)
  return validation.ok ? [] : validation.errors
}

const firstOf = (body: Record<string, unknown>): Record<string, unknown> => {
  const { items } = body
  const [first] = Array.isArray(items) ? items : []
  return { ...first }
}

describe('the management API of a running integration', () => {
  it('leads from a failure to its cause, its message and its cure, and masks on the way (F57)', async () => {
    const { clock, mood, get, post } = await run()
    const data = { orderId: 'A-17', email: 'alice@example.org' }
    const { id } = await post('/api/v1/publish', { type: 'orders.placed', data })
    await pass(clock, 30)

    const overview = await get('/api/v1/overview', 'Overview')
    expect(overview).toMatchObject({ name: 'orders', deadLettersOpen: 1, alertsOpen: 1 })
    const consumers = await get('/api/v1/consumers', 'ConsumerList')
    expect(firstOf(consumers)).toMatchObject({ name: 'finance', deadLettersOpen: 1 })
    const group = firstOf(await get('/api/v1/dead-letters/groups', 'DeadLetterGroupList'))
    expect(group).toMatchObject({ consumer: 'finance', count: 1, owner: 'owners' })
    expect(firstOf(await get('/api/v1/alerts?state=open', 'AlertPage'))).toMatchObject({ count: 1 })
    const letter = firstOf(await get('/api/v1/dead-letters?consumer=finance', 'DeadLetterPage'))
    expect(letter).toMatchObject({ messageId: id, attempts: 2 })
    const shown = await get(`/api/v1/dead-letters/${String(letter['id'])}`, 'DeadLetter')
    expect(shown['payload']).toEqual({ orderId: 'A-17', email: '•••' })
    const found = await get('/api/v1/messages?key=A-17&status=dead', 'MessagePage')
    expect(firstOf(found)['id']).toBe(id)
    expect(found['searched']).toMatchObject({ complete: true })
    const message = await get(`/api/v1/messages/${String(id)}`, 'Message')
    expect(message['payload']).toEqual({ orderId: 'A-17', email: '•••' })

    mood.isBroken = false
    const command = { kind: 'dead-letter.retry', cause: String(group['cause']) }
    const operation = { command, reason: 'mended', operationId: 'op_once' }
    const first = await post('/api/v1/operations', operation)
    expect(first).toMatchObject({ operationId: 'op_once', state: 'done', repeated: false })
    await pass(clock, 30)
    const again = await post('/api/v1/operations', operation)
    expect(again).toMatchObject({ repeated: true, result: first['result'] })

    expect(await get('/api/v1/overview', 'Overview')).toMatchObject({ deadLettersOpen: 0 })
    expect(await get(`/api/v1/messages/${String(id)}`, 'Message')).toMatchObject({ status: 'done' })
    const journal = firstOf(await get('/api/v1/operations', 'OperationPage'))
    expect(journal).toMatchObject({ actor: 'local', reason: 'mended', origin: 'api 127.0.0.1' })
  })

  it('plans and shows a replay', async () => {
    const { clock, mood, get, post } = await run()
    mood.isBroken = false
    const data = { orderId: 'A-17', email: 'alice@example.org' }
    await post('/api/v1/publish', { type: 'orders.placed', data })
    await pass(clock, 5)
    const command = { kind: 'replay.plan', filter: { from: 'messages', consumer: 'finance' } }
    await post('/api/v1/operations', { command, reason: 'to look' })
    const replay = firstOf(await get('/api/v1/replays', 'ReplayPage'))
    expect(replay['state']).toBe('planned')
    await get(`/api/v1/replays/${String(replay['id'])}`, 'Replay')
    await get('/api/v1/invalid', 'InvalidPage')
    await get('/api/v1/invalid/groups', 'InvalidGroupList')
    await get('/api/v1/model', 'Model')
    expect(await get('/readyz', 'Ready')).toMatchObject({ status: 'ready' })
  })
})
