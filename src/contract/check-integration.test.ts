import { describe, expect, it } from 'vitest'
import { checkIntegration } from './check-integration.ts'
import { consumer, type ConsumerOptions } from './consumer.ts'
import { type AnyContract, type ContractOptions, event } from './contract.ts'
import { integration, type Part } from './integration.ts'
import { system, team } from './system.ts'
import { unsigned } from './scheme-presets.ts'
import { webhook, type WebhookOptions } from './webhook.ts'

const owners = team('owners')
const schema = { type: 'object', properties: { id: { type: 'string' } } } as const

const told = (options: Partial<ContractOptions<{ 1: typeof schema }>> = {}): AnyContract =>
  event('partner.told', { owner: owners, versions: { 1: schema }, ...options })

/** What a program in JavaScript may leave out. */
type Loose<T> = { readonly [K in keyof T]?: T[K] | undefined }

const hook = (options: Loose<WebhookOptions<AnyContract>> = {}): Part =>
  webhook('partner', {
    from: system('partner', { owner: owners }),
    path: '/webhooks/partner',
    verify: unsigned({ reason: 'a test' }),
    accepts: told(),
    retriesFor: '3d',
    idempotency: { retention: '7d' },
    emit: () => undefined,
    ...options,
  } as WebhookOptions<AnyContract>)

const listener = (options: Loose<ConsumerOptions<AnyContract>> = {}): Part =>
  consumer('listener', {
    owner: owners,
    on: told(),
    idempotency: 'natural',
    retry: { attempts: 3, first: '1s', max: '1m' },
    deadLetter: { alert: owners.oncall },
    afterDeadLetter: 'park',
    replay: 'safe',
    handle: () => Promise.resolve(),
    ...options,
  } as ConsumerOptions<AnyContract>)

const findingsOf = (...parts: readonly Part[]): readonly string[] =>
  checkIntegration(integration('checked', { parts })).map(
    ({ rule, problem, fix }) => `${rule}: ${problem} → ${fix}`,
  )

describe('a start', () => {
  it('is allowed when everything is said', () => {
    expect(findingsOf(hook())).toEqual([])
    expect(findingsOf(listener())).toEqual([])
  })

  it('is refused when a message would expire before its retries are over, with the sum (M16)', () => {
    const retry = { attempts: 3, first: '10s', factor: 2, max: '1m' } as const

    const [finding, ...more] = findingsOf(listener({ retry, on: told({ ttl: '30s' }) }))

    expect(more).toEqual([])
    expect(finding).toContain('ttl-outlives-retries: partner.told')
    expect(finding).toContain('ttl of 30s')
    expect(finding).toContain('a ttl longer than 30s')
    expect(findingsOf(listener({ retry, on: told({ ttl: '31s' }) }))).toEqual([])
  })

  it('knows no ttl below a second or above a year (M16)', () => {
    for (const ttl of ['999ms', '366d'] as const) {
      expect(() => told({ ttl })).toThrow('allowed is 1s to 365d')
    }
    expect(told({ ttl: '1s' }).ttlMs).toBe(1_000)
    expect(told().ttlMs).toBeUndefined()
  })

  it('is refused when keys are forgotten before the last repeat may come, with the sum (M13)', () => {
    const late = { retriesFor: '5d', replayWindow: '3d', idempotency: { retention: '7d' } } as const

    const [finding, ...more] = findingsOf(hook(late))

    expect(more).toEqual([])
    expect(finding).toContain('retriesFor 5d + replayWindow 3d = 8d')
    expect(finding).toContain("idempotency: { retention: '8d' }")
    expect(findingsOf(hook({ ...late, idempotency: { retention: '8d' } }))).toEqual([])
  })

  it('is refused when the log forgets a message before its key (M13)', () => {
    const brief = told({ retention: '6d' })
    const fact = { key: 'id', retention: '7d' } as const
    const [byKey, ...more] = findingsOf(hook({ accepts: brief }))
    const [byFact] = findingsOf(listener({ on: told({ retention: '6d', idempotency: fact }) }))

    expect(more).toEqual([])
    for (const finding of [byKey, byFact]) {
      expect(finding).toMatch(/^log-outlives-dedupe: .*6d.*7d.* → write retention: '7d' or more/)
    }
    expect(findingsOf(listener({ on: told({ retention: '7d', idempotency: fact }) }))).toEqual([])
  })

  it('is refused when a fact is to be recognised that is in no log', () => {
    const fact = { key: 'id', retention: '7d' } as const
    const fleeting = told({ guarantee: 'at-most-once', idempotency: fact })

    expect(findingsOf(listener({ on: fleeting }))).toEqual([
      expect.stringMatching(/^fact-needs-log: /),
    ])
  })

  it.each([
    ['retry', 'consumer-retry', 'write retry:'],
    ['replay', 'replay-rule', "'safe', 'guarded' or 'never'"],
    ['idempotency', 'idempotency-mode', "'transaction', 'once' or 'natural'"],
    ['afterDeadLetter', 'after-dead-letter', "'park'"],
    ['owner', 'consumer-owner', 'write owner:'],
  ])('is refused when a consumer leaves out %s, with what to write', (option, rule, fix) => {
    const findings = findingsOf(listener({ [option]: undefined }))

    expect(findings[0]).toMatch(new RegExp(`^${rule}: `))
    expect(findings[0]).toContain(fix)
  })

  it('is refused when nobody owns a contract, or is told of a dead letter', () => {
    const deadLetter = {} as { readonly alert: typeof owners.oncall }

    expect(findingsOf(listener({ deadLetter }))).toEqual([
      expect.stringMatching(/^dead-letter-alert: /),
    ])
    expect(findingsOf(listener({ on: told({ owner: undefined as never }) }))).toEqual([
      expect.stringMatching(/^contract-owner: /),
    ])
  })
})
