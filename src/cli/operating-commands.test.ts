import { describe, expect, it } from 'vitest'
import {
  createFakeIo,
  type FakeIoOptions,
  type FakeRequest,
  runCli,
} from '../../test/cli/fake-io.ts'
import { JuncturaError } from '../kernel/index.ts'
import { main } from './main.ts'

const done = (result: unknown = {}) => ({
  'POST /api/v1/operations': ({ body }: FakeRequest) => ({
    body: { operationId: body['operationId'], state: 'done', repeated: false, result },
  }),
})

const operationOf = async (argv: readonly string[], options: FakeIoOptions = {}) => {
  const { code, io } = await runCli(argv, { routes: done({ started: 2 }), ...options })
  return { code, io, body: io.requests[0]?.body }
}

describe('commands that change something', () => {
  it('throw nothing away without --yes where nobody can be asked, or when the answer is no', async () => {
    for (const line of [
      ['dlq', 'drop', 'dead_1'],
      ['invalid', 'drop', '--cause', 'c_1'],
      ['consumers', 'retire', 'finance'],
    ]) {
      const piped = await operationOf(line)
      const no = await operationOf(line, { isTerminal: true, answer: 'n' })
      const yes = await operationOf(line, { isTerminal: true, answer: 'y' })
      expect([piped.code, no.code, yes.code]).toEqual([64, 1, 0])
      expect([piped.io.requests.length, no.io.requests.length]).toEqual([0, 0])
    }
  })

  it('send who, why and an id of their own', async () => {
    const { code, body, io } = await operationOf(['dlq', 'retry', 'dead_1', 'dead_2'])

    expect(code).toBe(0)
    expect(body).toEqual({
      command: { kind: 'dead-letter.retry', ids: ['dead_1', 'dead_2'] },
      actor: 'cli:ada',
      reason: 'junctura dlq retry',
      operationId: expect.stringMatching(/^op_/),
    })
    expect(io.out()).toContain('2 started')
  })

  it('take the reason, the actor and the id from the command line', async () => {
    const { body } = await operationOf(
      'replay pause replay_1 --actor bo --operation-id op_7'.split(' ').concat('--reason', 'calm'),
    )

    expect(body).toEqual({
      command: { kind: 'replay.pause', id: 'replay_1' },
      actor: 'bo',
      reason: 'calm',
      operationId: 'op_7',
    })
  })

  it('F104: name exactly one selection, in the words of the API', async () => {
    const commands = await Promise.all(
      [
        'dlq drop --cause c_1 --yes',
        'invalid readmit --webhook acme --plan',
        'invalid readmit --cause c_2 --rate 30/m',
        'alerts ack alert_1',
        'consumers resume finance',
        'replay run replay_1 --token token_1',
      ].map(async (line) => (await operationOf(line.split(' '))).body?.['command']),
    )

    expect(commands).toEqual([
      { kind: 'dead-letter.drop', cause: 'c_1' },
      { kind: 'invalid.readmit', webhook: 'acme', planOnly: true },
      { kind: 'invalid.readmit', cause: 'c_2', ratePerSecond: 1 },
      { kind: 'alert.acknowledge', id: 'alert_1' },
      { kind: 'consumer.resume', name: 'finance' },
      { kind: 'replay.run', id: 'replay_1', token: 'token_1' },
    ])
    expect((await operationOf(['invalid', 'readmit'])).code).toBe(64)
  })

  it('ask again under the same id when the answer was lost, and not when nothing was reached', async () => {
    const ids: unknown[] = []
    const lost = (problem: string) => ({
      'POST /api/v1/operations': ({ body }: FakeRequest) => {
        ids.push(body['operationId'])
        if (ids.length > 1) {
          const result = {
            operationId: 'op',
            state: 'done',
            repeated: true,
            result: { started: 1 },
          }
          return { body: result }
        }
        const details = { url: 'http://127.0.0.1:7071', problem }
        throw new JuncturaError('JUNCTURA_UNREACHABLE', { details })
      },
    })
    const cut = await runCli(['dlq', 'retry', 'dead_1'], { routes: lost('socket hang up') })
    const [first, second] = ids
    ids.length = 0
    const absent = await runCli(['dlq', 'retry', 'dead_1'], { routes: lost('ECONNREFUSED') })

    expect(cut.code).toBe(0)
    expect(second).toBe(first)
    expect(cut.io.out()).toContain('had run before')
    expect(absent.code).toBe(69)
    expect(ids.length).toBe(1)
  })
})

const GROUP = {
  cause: 'c_1',
  title: 'RangeError: \u001b[31mout of stock',
  consumer: 'finance',
  type: 'orders.changed',
  contractVersion: 1,
  stage: 'handler',
  owner: 'finance-team',
  count: 12,
  keys: 3,
  firstAtMs: Date.UTC(2026, 0, 1) - 60_000,
  lastAtMs: Date.UTC(2026, 0, 1) - 60_000,
  sample: 'dead_1',
  more: true,
}

describe('lists', () => {
  it('exit with 1 under --check when there is something, and with 0 when there is nothing', async () => {
    const groups = (items: readonly unknown[]) => ({
      routes: { 'GET /api/v1/dead-letters/groups': { body: { items } } },
    })
    const some = await runCli(['dlq', 'groups', '--check'], groups([GROUP]))
    const none = await runCli(['dlq', 'groups', '--check'], groups([]))
    const shown = await runCli(['dlq', 'groups'], groups([GROUP]))

    expect([some.code, none.code, shown.code]).toEqual([1, 0, 0])
    expect(shown.io.out()).toContain('12+')
    expect(shown.io.out()).toContain('1m ago')
    expect(shown.io.out()).toContain('RangeError: \\x1b[31mout of stock')
  })

  it('ask for a page as told and offer the next one', async () => {
    const page = { body: { items: [], next: 'k' } }
    const { io } = await runCli(
      'dlq list --consumer finance --cause c_1 --state open --limit 7 --after x'.split(' '),
      { routes: { 'GET /api/v1/dead-letters': page } },
    )

    expect(Object.fromEntries(io.requests[0]?.url.searchParams ?? [])).toEqual({
      consumer: 'finance',
      cause: 'c_1',
      state: 'open',
      limit: '7',
      after: 'x',
    })
  })

  it('print what the API gave under --json', async () => {
    const { io } = await runCli(['dlq', 'groups', '--json'], {
      routes: { 'GET /api/v1/dead-letters/groups': { body: { items: [GROUP] } } },
    })

    expect(io.json()).toEqual({ schemaVersion: 1, kind: 'dead-letter-groups', items: [GROUP] })
  })

  it('show consumers with their lag', async () => {
    const consumer = {
      name: 'finance',
      owner: 'finance-team',
      on: 'orders.changed',
      version: 1,
      mode: 'paused',
      watermark: 4,
      lag: 17,
      oldestPendingAgeMs: 61_000,
      inFlight: 0,
      retrying: 1,
      parked: 2,
      deadLettersOpen: 3,
      done: 99,
      latencyMsP50: 2.5,
      latencyMsP99: null,
      partitions: [
        {
          slots: '0-31',
          mode: 'paused',
          watermark: 4,
          holder: 'a1, process 7',
          managementUrl: null,
        },
        { slots: '32-63', mode: 'standing-by', watermark: 9, holder: null, managementUrl: null },
      ],
    }
    const routes = { 'GET /api/v1/consumers': { body: { items: [consumer] } } }
    const text = await runCli(['consumers'], { routes })
    const json = await runCli(['consumers', '--json'], { routes })

    expect(text.io.out()).toMatch(/finance +orders\.changed@1 +paused +99 +17 +1\.02m +1 +2 +3/)
    expect(text.io.out()).toContain('a1, process 7 (1), nobody (1)')
    expect(json.io.json()['items']).toEqual([consumer])
  })
})

const MESSAGE = {
  id: 'msg_1',
  type: 'orders.changed',
  version: 1,
  key: 'A-1',
  position: 7,
  correlationId: 'corr_1',
  source: '/webhooks/acme',
  receivedAtMs: Date.UTC(2026, 0, 1),
  status: 'retrying',
  envelope: {},
  payload: { customer: { email: '***' }, note: 'x\u001b]0;title\u0007' },
  border: [{ step: 'signature', outcome: 'verified by standard-webhooks' }],
  consumers: [
    {
      consumer: 'finance',
      status: 'retrying',
      attempts: [{ attempt: 1, atMs: 1, outcome: 'failed', durationMs: 3, error: 'no\nstock' }],
      nextAttemptAtMs: Date.UTC(2026, 0, 1, 1),
    },
  ],
  related: [],
}

describe('trace', () => {
  it('exits with 1 when there is no such message', async () => {
    const { code, io } = await runCli(['trace', 'msg_9'], {
      routes: { 'GET /api/v1/messages': { body: { items: [] } } },
    })

    expect(code).toBe(1)
    expect(io.err()).toContain('JUNCTURA_NOT_FOUND: There is no message msg_9.')
  })

  it('shows border, attempts and masked payload on lines of its own (F56)', async () => {
    const { code, io } = await runCli(['trace', 'msg_1'], {
      routes: { 'GET /api/v1/messages/msg_1': { body: MESSAGE } },
    })

    expect(code).toBe(0)
    expect(io.out()).toContain('signature    verified by standard-webhooks')
    expect(io.out()).toContain('failed in 3ms no\\nstock')
    expect(io.out()).toContain('next try 2026-01-01T01:00:00.000Z')
    expect(io.out()).not.toContain('\u001b')
  })

  it('finds the first message of a correlation id', async () => {
    const { code, io } = await runCli(['trace', 'corr_1', '--json'], {
      routes: {
        'GET /api/v1/messages': { body: { items: [{ id: 'msg_2' }, { id: 'msg_1' }] } },
        'GET /api/v1/messages/msg_1': { body: MESSAGE },
      },
    })

    expect(code).toBe(0)
    expect(io.json()).toMatchObject({ item: { id: 'msg_1' } })
    expect(io.requests[1]?.url.searchParams.get('correlation')).toBe('corr_1')
  })
})

const REPLAY = {
  id: 'replay_1',
  state: 'planned',
  filter: {},
  plan: {
    total: 480,
    alreadyDone: 12,
    byCause: [{ cause: 'c_1', title: 'RangeError', count: 480 }],
    byAge: [{ olderThan: '1h', count: 480 }],
    keys: 40,
    pastDedupeRetention: 0,
    warnings: ['3 keys have newer messages that are done'],
  },
  token: 'token_1',
  createdAtMs: Date.UTC(2026, 0, 1),
  actor: 'cli:ada',
  reason: 'mended',
  ratePerSecond: 30,
  cursor: '',
  released: 0,
  skipped: 0,
  failed: 0,
  total: 480,
}

describe('replay', () => {
  it('refuses a time or a place that means nothing', async () => {
    const lines = ['replay plan --since yesterday', 'replay plan --from everywhere']
    for (const line of lines) expect((await operationOf(line.split(' '))).code).toBe(64)
  })

  it('plans with a filter of the API and shows counts, warnings and the token', async () => {
    const { io, body } = await operationOf(
      'replay plan --consumer finance --cause c_1 --from dead-letters --since 2h --rate 30/s'.split(
        ' ',
      ),
      { routes: done(REPLAY) },
    )

    expect(body?.['command']).toEqual({
      kind: 'replay.plan',
      filter: {
        from: 'dead-letters',
        consumer: 'finance',
        cause: 'c_1',
        sinceMs: Date.UTC(2026, 0, 1) - 7_200_000,
      },
      ratePerSecond: 30,
    })
    expect(io.out()).toContain('480')
    expect(io.out()).toContain('30/s, about 16s')
    expect(io.out()).toContain('beware 3 keys have newer messages that are done')
    expect(io.out()).toContain('junctura replay run replay_1 --token token_1 --watch')
  })

  it('prints the plan as one object under --json', async () => {
    const { io } = await operationOf(['replay', 'plan', '--json'], { routes: done(REPLAY) })

    expect(io.json()).toMatchObject({ kind: 'replay-plan', item: { id: 'replay_1' } })
  })

  it('watches a run to its end, and exits with 1 when some of it failed again', async () => {
    const states = [
      { state: 'running', released: 100, failed: 0 },
      { state: 'running', released: 300, failed: 1 },
      { state: 'done', released: 479, failed: 1 },
    ]
    let polls = 0
    const io = createFakeIo({
      routes: {
        ...done(REPLAY),
        'GET /api/v1/replays/replay_1': () => ({ body: { ...REPLAY, ...states[polls++] } }),
      },
    })
    const running = main(['replay', 'run', 'replay_1', '--watch'], io)
    await io.kernel.clock.advance(10_000)

    expect(await running).toBe(1)
    expect(polls).toBe(3)
    expect(io.out()).toMatch(/state +done/)
    expect(io.err()).not.toContain('\u001b')
  })

  it('leaves the replay running when a person stops watching', async () => {
    const io = createFakeIo({
      isTerminal: true,
      routes: { 'GET /api/v1/replays/replay_1': { body: { ...REPLAY, state: 'running' } } },
    })
    const running = main(['replay', 'status', 'replay_1', '--watch'], io)
    await io.kernel.clock.advance(1_200)
    io.sendSignal('SIGINT')

    expect(await running).toBe(130)
    expect(io.requests.every(({ method }) => method === 'GET')).toBe(true)
    expect(io.err()).toContain('▕')
  })
})

describe('emit', () => {
  const model = {
    contracts: [
      {
        kind: 'event',
        name: 'orders.changed',
        latest: 1,
        versions: [
          {
            version: 1,
            schema: {
              type: 'object',
              properties: { orderId: { type: 'string', minLength: 1 } },
              required: ['orderId'],
            },
          },
        ],
      },
    ],
  }

  it('publishes an example, or the given data with values put in', async () => {
    let published = 0
    const routes = {
      'GET /api/v1/model': { body: model },
      'POST /api/v1/publish': () => ({ body: { id: `msg_${++published}` } }),
    }
    const example = await runCli(['emit', 'orders.changed', '--json'], { routes })
    const given = await runCli(
      ['emit', 'orders.changed', '--data', '{"orderId":"A"}', '--set', 'n={n}', '--count', '2'],
      { routes },
    )

    expect(example.io.json()).toMatchObject({ type: 'orders.changed', ids: ['msg_1'] })
    expect(example.io.requests[1]?.body).toMatchObject({ data: { orderId: expect.any(String) } })
    expect(given.io.requests.slice(1).map(({ body }) => body)).toEqual([
      { type: 'orders.changed', data: { orderId: 'A', n: 1 } },
      { type: 'orders.changed', data: { orderId: 'A', n: 2 } },
    ])
  })
})
