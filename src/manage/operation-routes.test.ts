import { describe, expect, it } from 'vitest'
import {
  type Ask,
  askedApi,
  bearer,
  bodyOf,
  json,
  problemOf,
  TOKEN,
} from '../../test/pages/ask-api.fixture.ts'
import { JuncturaError, LIMITS } from '../kernel/index.ts'

const operation = (command: unknown, more: object = {}): Ask => ({
  headers: json,
  body: { command, reason: 'a test', ...more },
})

describe('operations', () => {
  it('run with who, why and where', async () => {
    const { runtime, ask } = askedApi()
    const command = { kind: 'dead-letter.retry', ids: ['dead_1', 'dead_2'] }
    const more = { actor: 'cli:alice', operationId: 'op_7' }
    const answer = await ask('/api/v1/operations', operation(command, more))
    expect(bodyOf(answer)).toEqual({
      schemaVersion: 1,
      operationId: 'op_7',
      state: 'done',
      repeated: false,
      result: { done: 1 },
    })
    expect(runtime.asked).toEqual([{ method: 'operate', with: command }])
    expect(runtime.operators).toEqual([
      { actor: 'cli:alice', origin: 'api 127.0.0.1', reason: 'a test', operationId: 'op_7' },
    ])
  })

  it("are the token's where there is one; a name in the body stays a claim", async () => {
    const { runtime, ask } = askedApi(TOKEN)
    const pause = operation({ kind: 'consumer.pause', name: 'finance' }, { actor: 'root' })
    await ask('/api/v1/operations', { ...pause, headers: { ...json, ...bearer } })
    expect(runtime.operators).toEqual([
      { actor: 'token', origin: 'api 127.0.0.1 as root', reason: 'a test' },
    ])
  })

  it('are local by default', async () => {
    const { runtime, ask } = askedApi()
    await ask('/api/v1/operations', operation({ kind: 'alert.acknowledge', id: 'alert_1' }))
    expect(runtime.operators[0]?.actor).toBe('local')
  })

  it.each([
    ['no command', { reason: 'x' }, 'command'],
    ['no reason', { command: { kind: 'consumer.pause', name: 'a' } }, 'reason'],
    ['an empty reason', { command: {}, reason: '' }, 'reason'],
    ['a long reason', { command: {}, reason: 'r'.repeat(501) }, 'reason'],
    ['an unknown member', { command: {}, reason: 'x', force: true }, 'force'],
    ['a command that is no object', { command: 'retry', reason: 'x' }, 'command'],
    ['an unknown kind', { command: { kind: 'store.drop' }, reason: 'x' }, 'command.kind'],
    ['a kind of the prototype', { command: { kind: 'toString' }, reason: 'x' }, 'command.kind'],
    [
      'a member too many',
      { command: { kind: 'consumer.pause', name: 'a', all: 1 }, reason: 'x' },
      'command.all',
    ],
    ['a missing member', { command: { kind: 'replay.run' }, reason: 'x' }, 'command.id'],
    [
      'a name that is no text',
      { command: { kind: 'consumer.pause', name: ['a'] }, reason: 'x' },
      'command.name',
    ],
    ['nothing selected', { command: { kind: 'dead-letter.drop' }, reason: 'x' }, 'command'],
    [
      'two selections',
      { command: { kind: 'dead-letter.drop', ids: ['a'], cause: 'b' }, reason: 'x' },
      'command',
    ],
    ['no ids', { command: { kind: 'dead-letter.drop', ids: [] }, reason: 'x' }, 'command.ids'],
    [
      'ids past the limit',
      {
        command: { kind: 'dead-letter.drop', ids: Array.from({ length: 1_001 }, () => 'a') },
        reason: 'x',
      },
      'command.ids',
    ],
    [
      'a rate of zero',
      { command: { kind: 'replay.plan', filter: {}, ratePerSecond: 0 }, reason: 'x' },
      'command.ratePerSecond',
    ],
    [
      'an unknown filter',
      { command: { kind: 'replay.plan', filter: { tenant: 'a' } }, reason: 'x' },
      'command.filter.tenant',
    ],
    [
      'a filter out of its choices',
      { command: { kind: 'replay.plan', filter: { from: 'all' } }, reason: 'x' },
      'command.filter.from',
    ],
    ['a list as body', [], 'body'],
  ])('are refused with %s (F104)', async (_, body, parameter) => {
    const { runtime, ask } = askedApi()
    const answer = await ask('/api/v1/operations', { body, headers: json })
    expect(problemOf(answer)).toEqual([400, 'JUNCTURA_PARAMETER_INVALID', parameter])
    expect(runtime.asked).toEqual([])
  })

  it('take every command of the runtime', async () => {
    const { runtime, ask } = askedApi()
    const commands = [
      { kind: 'dead-letter.retry', cause: 'c' },
      { kind: 'dead-letter.drop', ids: ['dead_1'] },
      { kind: 'replay.plan', filter: { from: 'messages', fromPosition: 1, toPosition: 9 } },
      { kind: 'replay.run', id: 'replay_1', token: 't' },
      { kind: 'replay.pause', id: 'replay_1' },
      { kind: 'replay.resume', id: 'replay_1' },
      { kind: 'replay.abort', id: 'replay_1' },
      { kind: 'invalid.readmit', webhook: 'acme', planOnly: true, ratePerSecond: 5 },
      { kind: 'invalid.drop', cause: 'c' },
      { kind: 'alert.acknowledge', id: 'alert_1' },
      { kind: 'consumer.pause', name: 'finance' },
      { kind: 'consumer.resume', name: 'finance' },
      { kind: 'consumer.retire', name: 'finance' },
    ]
    for (const command of commands) {
      expect((await ask('/api/v1/operations', operation(command))).status).toBe(200)
    }
    expect(runtime.asked.map((one) => one.with)).toEqual(commands)
  })

  it('say why the runtime refuses, and what to do instead', async () => {
    const { runtime, ask } = askedApi()
    runtime.shows.refuses = new JuncturaError('JUNCTURA_OPERATION_REFUSED', {
      details: { problem: 'replay r is done', fix: 'make a new plan' },
    })
    const answer = await ask('/api/v1/operations', operation({ kind: 'replay.run', id: 'r' }))
    expect(problemOf(answer)).toEqual([409, 'JUNCTURA_OPERATION_REFUSED'])
    expect(bodyOf(answer)['fix']).toBe('make a new plan')
  })

  it('refuse a body that is too large or no strict JSON', async () => {
    const { ask } = askedApi()
    const large = await ask('/api/v1/operations', {
      body: 'x'.repeat(LIMITS.manageBodyBytesMax + 1),
      headers: json,
    })
    expect(problemOf(large)).toEqual([413, 'JUNCTURA_BODY_TOO_LARGE'])
    for (const body of ['{"reason":"a","reason":"b"}', '{', '{"__proto__":{}}', '\u{feff}{}']) {
      const answer = await ask('/api/v1/operations', { body, headers: json })
      expect(problemOf(answer)).toEqual([400, 'JUNCTURA_BODY_SYNTAX'])
    }
  })
})

describe('publishing', () => {
  it('publishes data of a contract and gives the id once it is durable', async () => {
    const { runtime, ask } = askedApi()
    const body = { type: 'orders.placed', data: { orderId: 'A' }, version: 1 }
    const answer = await ask('/api/v1/publish', { body, headers: json })
    expect(bodyOf(answer)).toEqual({ schemaVersion: 1, id: `msg_${'0'.repeat(32)}` })
    expect(runtime.asked).toEqual([{ method: 'publish', with: { orderId: 'A' } }])
  })

  it('refuses a contract or a version that is not there', async () => {
    const { ask } = askedApi()
    const publish = (body: object) => ask('/api/v1/publish', { body, headers: json })
    const unknown = await publish({ type: 'orders.gone', data: {} })
    expect(problemOf(unknown)).toEqual([400, 'JUNCTURA_PARAMETER_INVALID', 'type'])
    expect(bodyOf(unknown)['allowed']).toEqual(['orders.placed'])
    const version = await publish({ type: 'orders.placed', data: {}, version: 2 })
    expect(problemOf(version)).toEqual([400, 'JUNCTURA_PARAMETER_INVALID', 'version'])
    const missing = await publish({ type: 'orders.placed' })
    expect(problemOf(missing)).toEqual([400, 'JUNCTURA_PARAMETER_INVALID', 'data'])
  })

  it('answers 422 to data that does not fit', async () => {
    const { runtime, ask } = askedApi()
    runtime.shows.refuses = new JuncturaError('JUNCTURA_EMIT_INVALID', {
      details: { type: 'orders.placed', problem: '/orderId is missing' },
    })
    const body = { type: 'orders.placed', data: {} }
    const answer = await ask('/api/v1/publish', { body, headers: json })
    expect(problemOf(answer)).toEqual([422, 'JUNCTURA_EMIT_INVALID'])
    expect(bodyOf(answer)['detail']).toContain('/orderId is missing')
  })
})
