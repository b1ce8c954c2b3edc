import { describe, expect, it } from 'vitest'
import orders from '../../../examples/orders/integration.ts'
import { contractTests } from './contract-tests.ts'
import { failuresOf, runAll, saysOf } from './run-all.fixture.ts'
import picky, { makeThings } from './picky.fixture.ts'
import { calls, shipping } from './shipping.fixture.ts'

describe('contract tests of an integration that keeps its promises', () => {
  it('hold for the example: one webhook and four consumers, none of them told', async () => {
    const outcomes = await runAll(orders)

    expect(outcomes.filter(({ outcome }) => outcome !== 'holds')).toEqual([])
    expect(outcomes).toHaveLength(12 + 4 * 8)
  })

  it('hold for other schemes, raw JSON Schema, batches, and guarantees below exactly once', async () => {
    const outcomes = await runAll(shipping)

    expect(outcomes.filter(({ outcome }) => outcome === 'fails')).toEqual([])
    expect(saysOf(outcomes, 'webhook open: wrong signature')).toBe(
      'It takes unsigned requests: the thermometer cannot sign',
    )
    expect(saysOf(outcomes, 'webhook pushes: old timestamp')).toContain('signs no timestamp')
    expect(saysOf(outcomes, 'consumer bookkeeping: retry curve')).toMatch(
      /^18 attempts, delays up to 10s, .* Then a dead letter of money, and one alert by http\.$/,
    )
    expect(saysOf(outcomes, 'consumer mailer: crash at the effect')).toContain(
      'mail happened 2 times: at-least-once',
    )
    expect(saysOf(outcomes, 'consumer noticeboard: crash at the effect')).toContain('ran 2 times')
    expect(saysOf(outcomes, 'consumer ticker: retry curve')).toContain('one attempt')
    expect(saysOf(outcomes, 'consumer scales: replay')).toContain('asks for the token')
    expect(calls.length).toBeGreaterThan(0)
  })

  it('say the same for the same seed, and are drawn anew for another', async () => {
    const options = (seed: number) => ({ only: ['notifications'], seed })

    const first = await runAll(orders, options(7))

    expect(await runAll(orders, options(7))).toEqual(first)
    expect(await runAll(orders, options(8))).not.toEqual(first)
  })
})

const TEXTS = {
  type: 'object',
  required: ['parcel'],
  properties: { parcel: { type: 'string' } },
}

describe('contract tests of what an example cannot drive', () => {
  it('name what threw and how to give good data; what needs it is not tried', async () => {
    const outcomes = await runAll(picky)

    expect(failuresOf(outcomes)).toEqual([
      'webhook maker: valid request',
      'consumer store: takes a message',
    ])
    expect(saysOf(outcomes, 'webhook maker: valid request')).toContain('no such size here')
    expect(saysOf(outcomes, 'consumer store: takes a message')).toBe(
      'Its handler throws on example data: RangeError: no such size',
    )
    const [takes] = contractTests(picky, { only: ['store'] })
    await expect(takes?.run()).rejects.toMatchObject({
      details: { fix: expect.stringContaining('--example FILE') },
    })
    const untried = outcomes.filter(({ outcome }) => outcome === 'not-tried')
    expect(untried.map(({ title }) => title)).toContain('consumer store: order per key')
    expect(saysOf(outcomes, 'consumer store: retry curve')).toContain('2 attempts')
  })

  it('hold with the data that was given for it', async () => {
    const thing = { id: 'T-1', size: 7_777 }
    const outcomes = await runAll(picky, { examples: { 'things.made': thing } })

    expect(outcomes.filter(({ outcome }) => outcome === 'not-tried')).toEqual([])
    expect(failuresOf(outcomes)).toEqual([])
  })

  it('hold with a stand-in for a handler that needs the outside', async () => {
    const outcomes = await runAll(picky, {
      only: ['store'],
      handlers: { store: () => Promise.resolve() },
    })

    expect(failuresOf(outcomes)).toEqual([])
  })

  it('say of a handler that never ends that it waits for something outside', async () => {
    const hangs = makeThings(() => new Promise<never>(() => undefined))

    const outcomes = await runAll(hangs, { only: ['store'] })

    expect(failuresOf(outcomes)).toEqual(['consumer store: takes a message'])
    expect(saysOf(outcomes, 'consumer store: takes a message')).toContain(
      'within its deadline of 5s',
    )
  })

  it('say of a consumer that cannot read the latest version why, and of a filter that it lets none through', async () => {
    const [scales] = shipping.consumers.filter(({ name }) => name === 'scales')
    const on = scales && { ...scales.on, versions: new Map(scales.on.versions).set(2, TEXTS) }
    const unreadable = scales && on ? [{ ...scales, on }] : []
    const filtered = picky.consumers.map((one) => ({ ...one, filter: () => false }))

    const first = await runAll({ ...shipping, webhooks: [], consumers: unreadable })
    const second = await runAll({ ...picky, webhooks: [], consumers: filtered })

    expect(saysOf(first, 'consumer scales: takes a message')).toContain(
      'It cannot read an example: JUNCTURA_DATA_UNREADABLE',
    )
    expect(saysOf(second, 'consumer store: takes a message')).toBe(
      'Its filter lets no example through.',
    )
    expect(failuresOf(second)).toEqual(['consumer store: takes a message'])
  })

  it('wait for a handler that reads a file', async () => {
    const { readFile } = await import('node:fs/promises')
    const reads = makeThings(async () => void (await readFile(import.meta.filename)))

    expect(failuresOf(await runAll(reads, { only: ['store'] }))).toEqual([])
  })

  it('refuse an option that names nothing, data that is not valid, and a refused integration', async () => {
    expect(() => contractTests(orders, { only: ['nobody'] })).toThrow('there is no "nobody"')
    expect(() => contractTests(orders, { handlers: { acme: () => Promise.resolve() } })).toThrow(
      'handlers: there is no "acme"',
    )
    const [valid] = contractTests(orders, { examples: { acme: { version: 2 } } })
    await expect(valid?.run()).rejects.toMatchObject({ code: 'JUNCTURA_USAGE' })
    const [hook] = orders.webhooks
    const late = hook ? [{ ...hook, retriesForMs: 1e12 }] : []
    expect(() => contractTests({ ...orders, webhooks: late })).toThrow('refused at start')
  })
})
