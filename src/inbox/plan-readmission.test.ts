import { describe, expect, it } from 'vitest'
import type { InvalidRow } from '../store/index.ts'
import { type InboxBench, type OrderData, openInbox, order, ordersHook } from './inbox.fixture.ts'

/** Keeps a request as if the contract of yesterday had not taken it. */
const keep = async (
  { inbox, hook, kernel }: InboxBench,
  key: string,
  body: OrderData | string,
): Promise<void> => {
  await inbox.keepInvalid({
    request: {
      webhook: hook,
      raw: Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)),
      header: (name) => (name === 'webhook-id' ? key : undefined),
      mediaType: 'application/json',
      receivedAtMs: kernel.clock.now(),
      scheme: 'unsigned',
    },
    reason: 'version',
    version: 1,
    errors: [],
  })
}

const open = async (bench: InboxBench): Promise<readonly InvalidRow[]> =>
  (await bench.rows('invalid')).filter(({ state }) => state === 'open')

/** What the plan says, and then what comes of it. */
const planAndDo = async (bench: InboxBench) => {
  const rows = await open(bench)
  const plan = bench.inbox.planReadmission()
  const before = await bench.log()
  const planned: string[] = []
  for (const row of rows) {
    const one = await plan.next(row)
    planned.push(one.kind === 'still-invalid' ? one.reason : one.kind)
  }
  expect(await bench.log()).toEqual(before)
  expect(await open(bench)).toEqual(rows)
  const done: string[] = []
  for (const { id } of rows) done.push((await bench.inbox.readmit(id)).kind)
  return { planned, done }
}

const counted = (words: readonly string[]): Readonly<Record<string, number>> =>
  Object.fromEntries(
    [...new Set(words)]
      .toSorted()
      .map((word) => [word, words.filter((one) => one === word).length]),
  )

describe('the plan of a re-admission', () => {
  it('says what each would come to, and changes nothing', async () => {
    const bench = openInbox()
    await bench.send('sent', order('S'))
    await keep(bench, 'good', order('A'))
    await keep(bench, 'sent', order('S'))
    await keep(bench, 'short', '{"orderId":"B"}')
    await keep(bench, 'broken', '{"orderId":')
    await keep(bench, 'k'.repeat(600), order('C'))

    const { planned, done } = await planAndDo(bench)

    const expected = { accept: 1, duplicate: 1, key: 1, schema: 1, syntax: 1 }
    expect(counted(planned)).toEqual(expected)
    expect(counted(done)).toEqual({ accepted: 1, duplicate: 1, 'still-invalid': 3 })
  })

  it.each([
    ['conflict', ['accept', 'conflict', 'conflict'], ['accepted', 'conflict', 'conflict']],
    ['first-wins', ['accept', 'duplicate', 'duplicate'], ['accepted', 'duplicate', 'duplicate']],
    ['accept-as-new', ['accept', 'accept', 'accept'], ['accepted', 'accepted', 'accepted']],
  ] as const)(
    'counts what those before would claim, under the rule %s',
    async (mismatch, expected, came) => {
      const bench = openInbox(ordersHook({ idempotency: { retention: '7d', mismatch } }))
      for (const id of ['A', 'B', 'C']) await keep(bench, 'one key', order(id))

      const { planned, done } = await planAndDo(bench)

      expect([planned, done]).toEqual([expected, came])
    },
  )

  it('takes what was kept as a conflict as a message of its own', async () => {
    const bench = openInbox()
    await bench.send('k', order('A'))
    await bench.send('k', order('B'))

    expect(await planAndDo(bench)).toEqual({ planned: ['accept'], done: ['accepted'] })
  })

  it('names the fields at fault, and no value', async () => {
    const bench = openInbox()
    await keep(bench, 'k', '{"orderId":"jane@secret.example"}')
    const [row] = await open(bench)

    const forecast = row && (await bench.inbox.planReadmission().next(row))

    expect(forecast).toEqual({
      kind: 'still-invalid',
      reason: 'schema',
      detail: 'acme: partner.order version 1 is invalid at /status',
    })
  })

  it('knows that a webhook is gone', async () => {
    const bench = openInbox()
    await keep(bench, 'k', order('A'))
    const [row] = await open(bench)

    const forecast = row && (await bench.inbox.planReadmission().next({ ...row, webhook: 'old' }))

    expect(forecast).toMatchObject({ kind: 'still-invalid', reason: 'gone' })
  })
})
