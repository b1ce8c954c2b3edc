import { describe, expect, it } from 'vitest'
import { type FakeIoOptions, type FakeRequest, runCli } from '../../test/cli/fake-io.ts'
import { pausedRun, sagaSummary } from '../../test/pages/saga-run.fixture.ts'
import { type SagaRunView, summarizeRun } from '../runtime/index.ts'

const well: SagaRunView = { ...pausedRun, state: 'running', key: "it's" }

const routes: NonNullable<FakeIoOptions['routes']> = {
  'GET /api/v1/sagas': { body: { schemaVersion: 1, items: [sagaSummary] } },
  'GET /api/v1/saga-runs': {
    body: { schemaVersion: 1, items: [summarizeRun(pausedRun)], next: 'order\na' },
  },
  'GET /api/v1/saga-runs/order': ({ url }: FakeRequest) => ({
    body: { schemaVersion: 1, ...(url.searchParams.get('key') === 'a' ? pausedRun : well) },
  }),
  'POST /api/v1/operations': ({ body }: FakeRequest) => ({
    body: { operationId: 'op_1', state: 'done', repeated: false, result: resultOf(body) },
  }),
}

const resultOf = ({ command }: FakeRequest['body']): object =>
  JSON.stringify(command).includes('saga.plan')
    ? {
        token: 'token_1',
        act: 'cancel',
        filter: {},
        total: 30,
        complete: false,
        byState: { paused: 30 },
        oldestStartedAtMs: 0,
        runs: Array.from({ length: 30 }, (_, n) => ({ saga: 'order', key: `o${n}`, id: `r${n}` })),
      }
    : { saga: 'order', key: 'a', act: 'cancel', asked: 29, skipped: [{}] }

const run = (argv: readonly string[], options: FakeIoOptions = {}) =>
  runCli(argv, { routes, startMs: 61_000, ...options })

const commandOf = async (argv: readonly string[]) => {
  const { code, io } = await run(argv)
  return { code, command: io.requests[0]?.body['command'], reason: io.requests[0]?.body['reason'] }
}

describe('sagas', () => {
  it('gives each saga with its live runs, and exits with 1 when some need somebody', async () => {
    const { code, io } = await run(['sagas'])
    const json = await run(['sagas', '--json'])
    const calm = { ...sagaSummary, live: { ...sagaSummary.live, paused: 0 } }
    const quiet = await run(['sagas'], {
      routes: { 'GET /api/v1/sagas': { body: { schemaVersion: 1, items: [calm] } } },
    })

    expect([code, json.code, quiet.code]).toEqual([1, 1, 0])
    expect(io.out()).toContain('junctura sagas list --state paused')
    expect(json.io.json()).toMatchObject({ kind: 'sagas', items: [{ name: 'order' }] })
  })

  it('lists runs by a filter, in the words of the API', async () => {
    const line = 'sagas list --saga order --state paused --owner orders --step pay --older-than 1m'
    const { code, io } = await run([...line.split(' '), '--parked', '--limit', '5'])
    const json = await run(['sagas', 'list', '--json'])

    expect(code).toBe(0)
    expect(Object.fromEntries(io.requests[0]?.url.searchParams ?? [])).toEqual({
      saga: 'order',
      state: 'paused',
      owner: 'orders',
      step: 'pay',
      startedBeforeMs: '1000',
      parked: 'true',
      limit: '5',
    })
    expect(io.out()).toContain('step-failed: payments.charge#1')
    expect(io.out()).not.toContain('\u001b[31mthe bank')
    expect(json.io.json()).toMatchObject({ kind: 'saga-runs', items: [{ key: 'a' }] })
  })

  it('F104: refuse a state, an age and an act that do not exist', async () => {
    for (const line of [
      'sagas list --state broken',
      'sagas list --older-than soon',
      'sagas plan delete --saga order',
      'sagas run op_1',
      'sagas signal order a payments.captured',
      'sagas edit order a pay#1',
      'sagas skip order a pay#1 --value 1',
      'sagas start order --data {',
    ]) {
      const { code, io } = await run(line.split(' '))
      expect([line, code, io.requests.length]).toEqual([line, 64, 0])
    }
  })

  it('shows a run so that somebody who was woken knows what it waits for, since when, and what to do', async () => {
    const { code, io } = await run(['sagas', 'show', 'order', 'a'])
    const json = await run(['sagas', 'show', 'order', 'a', '--json'])
    const text = io.out()

    expect([code, json.code]).toEqual([1, 1])
    expect(text).toContain(
      'payments.charge#1 (payments.charge, bank) since 1970-01-01T00:00:03.000Z (58s ago)',
    )
    expect(text).toContain('no consumer of this integration handles payments.charge')
    expect(text).toContain('junctura sagas retry order a')
    expect(text).toMatch(/taken back\n.* stock\.reserve#1 {2}call stock\.release/)
    expect(text).toContain('6 failed, asked 6 times')
    expect(text).toContain('by ada (the bank is back): retry-step done')
    expect(text).not.toContain('\u001b[31mthe bank')
    expect(json.io.json()).toMatchObject({ kind: 'saga-run', item: { key: 'a' } })
  })

  it('prints what to do as a shell takes it, whatever the key is', async () => {
    const { code, io } = await run(['sagas', 'show', 'order', 'other'])
    expect(code).toBe(0)
    expect(io.out()).toContain(`junctura sagas cancel order 'it'\\''s'`)
  })
})

describe('what is done to a run', () => {
  it.each([
    ['start order --data {"a":1}', { kind: 'saga.start', saga: 'order', data: { a: 1 } }],
    [
      'signal order a payments.captured --data {}',
      { kind: 'saga.signal', saga: 'order', key: 'a', type: 'payments.captured', data: {} },
    ],
    ['pause order a', { kind: 'saga.pause', saga: 'order', key: 'a' }],
    ['resume order a', { kind: 'saga.resume', saga: 'order', key: 'a' }],
    ['retry order a pay#1', { kind: 'saga.retry-step', saga: 'order', key: 'a', step: 'pay#1' }],
    [
      'skip order a pay#1 --value 7 --reason known',
      { kind: 'saga.skip-step', saga: 'order', key: 'a', step: 'pay#1', value: 7 },
    ],
    [
      'edit order a pay#1 --value {"n":2}',
      { kind: 'saga.edit-step', saga: 'order', key: 'a', step: 'pay#1', value: { n: 2 } },
    ],
    ['cancel order a', { kind: 'saga.cancel', saga: 'order', key: 'a' }],
    ['terminate order a --yes', { kind: 'saga.terminate', saga: 'order', key: 'a' }],
    [
      'plan cancel --owner orders --older-than 1m',
      { kind: 'saga.plan', act: 'cancel', filter: { owner: 'orders', startedBeforeMs: 1_000 } },
    ],
    ['run op_1 --token token_1', { kind: 'saga.run-plan', id: 'op_1', token: 'token_1' }],
  ])('sagas %s', async (line, command) => {
    const sent = await commandOf(['sagas', ...line.split(' ')])
    expect(sent).toMatchObject({ code: 0, command })
    expect(sent.reason).toMatch(/^(junctura sagas |known)/)
  })

  it('ends nothing for good without --yes where nobody can be asked, or when the answer is no', async () => {
    const line = ['sagas', 'terminate', 'order', 'a']
    const piped = await run(line)
    const no = await run(line, { isTerminal: true, answer: 'n' })
    const yes = await run(line, { isTerminal: true, answer: 'y' })
    expect([piped.code, no.code, yes.code]).toEqual([64, 1, 0])
    expect([piped.io.requests.length, no.io.requests.length]).toEqual([0, 0])
  })

  it('is planned first where it is for many: counted, shown, and run by its token', async () => {
    const { code, io } = await run('sagas plan cancel --saga order'.split(' '))
    const json = await run('sagas plan cancel --saga order --json'.split(' '))
    expect(code).toBe(0)
    expect(io.out()).toContain('cancel takes 30 runs: 30 paused')
    expect(io.out()).toContain('and 10 more')
    expect(io.out()).toContain('plan again after this one')
    expect(io.out()).toContain('junctura sagas run op_1 --token token_1')
    expect(json.io.json()).toMatchObject({ kind: 'saga-plan', operationId: 'op_1' })
  })
})
