import { describe, expect, it } from 'vitest'
import orders from '../../../examples/orders/integration.ts'
import { type Consumer, team, unsigned } from '../../contract/index.ts'
import type { Ingress } from '../../ingress/index.ts'
import type { ResolvedRetryPolicy } from '../../policy/index.ts'
import type { Store, Unit } from '../../store/index.ts'
import { failuresOf, runAll, saysOf } from './run-all.fixture.ts'
import { shipping } from './shipping.fixture.ts'
import type { BenchSeams } from './test-bench.ts'

const withoutClaims = (unit: Unit): Unit => ({ ...unit, claims: [] })

/** Passes everything on, except for what a mutant changes. */
const storeWith = (store: Store, changes: Partial<Store>): Store =>
  new Proxy(store, {
    get(target, name) {
      const changed: unknown = Reflect.get(changes, name)
      const value: unknown = changed ?? Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })

const ingressWith = (ingress: Ingress, handle: Ingress['handle']): Ingress => ({
  handle,
  drain: () => ingress.drain(),
  inFlight: ingress.inFlight,
  bytesInFlight: ingress.bytesInFlight,
})

/** What runs differs from what is declared. */
const consumersWith = (change: (declared: Consumer) => Partial<Consumer>): BenchSeams => ({
  integration: (declared) => ({
    ...declared,
    consumers: declared.consumers.map((one) => ({ ...one, ...change(one) })),
  }),
})

const retryWith = (change: Partial<ResolvedRetryPolicy>): BenchSeams =>
  consumersWith(({ retry }) => (retry ? { retry: { ...retry, ...change } } : {}))

describe('contract tests of an integration that has a defect', () => {
  it('fail when the inbox does not remember what it has taken (drop-dedupe, M13)', async () => {
    const store = (kept: Store): Store =>
      storeWith(kept, {
        claimedPosition: () => Promise.resolve(undefined),
        commit: (units, finish) => kept.commit(units.map(withoutClaims), finish),
      })

    const failures = failuresOf(await runAll(orders, { only: ['acme'] }, { store }))

    expect(failures).toEqual([
      'webhook acme: replayed request',
      'webhook acme: duplicate',
      'webhook acme: changed body',
      'webhook acme: acknowledgement',
    ])
  })

  it('fail when the border does not verify (drop-verify, H4)', async () => {
    const verify = unsigned({ reason: 'a mutant' })
    const seams: BenchSeams = {
      integration: (declared) => ({
        ...declared,
        webhooks: declared.webhooks.map((one) => ({ ...one, verify })),
      }),
    }

    const failures = failuresOf(await runAll(orders, { only: ['acme'] }, seams))

    expect(failures).toEqual([
      'webhook acme: wrong signature',
      'webhook acme: missing signature',
      'webhook acme: old timestamp',
      'webhook acme: future timestamp',
      'webhook acme: replayed request',
    ])
  })

  it('fail when a retry has no end (endless-retry, M21)', async () => {
    const seams = retryWith({ attempts: Number.POSITIVE_INFINITY })

    const outcomes = await runAll(orders, { only: ['finance'] }, seams)

    expect(failuresOf(outcomes)).toContain('consumer finance: retry curve')
    expect(saysOf(outcomes, 'consumer finance: retry curve')).toContain('Declared are 5 attempts')
  })

  it('fail when a retry comes sooner, or later, than its curve and its cap allow', async () => {
    const first = orders.consumers.find(({ name }) => name === 'finance')?.retry?.firstDelayMs ?? 0
    expect(first).toBe(500)
    for (const change of [{ delayMsMax: 60_000, factor: 10 }, { firstDelayMs: 0 }]) {
      const outcomes = await runAll(orders, { only: ['finance'] }, retryWith(change))

      expect(failuresOf(outcomes)).toContain('consumer finance: retry curve')
    }
  })

  it('fail when the border answers before its commit (ack-before-commit, M14)', async () => {
    const seams: BenchSeams = {
      ingress: (kept) =>
        ingressWith(kept, (request) => {
          void kept.handle(request)
          const body = JSON.stringify({ id: 'msg_1', status: 'accepted' })
          return Promise.resolve({ status: 202, headers: {}, body, close: false })
        }),
    }

    const outcomes = await runAll(orders, { only: ['acme'] }, seams)

    expect(failuresOf(outcomes)).toContain('webhook acme: acknowledgement')
    expect(saysOf(outcomes, 'webhook acme: acknowledgement')).toContain('the message is lost')
  })

  it('fail when progress is saved before the effect (ack-before-commit, H4)', async () => {
    const store = (kept: Store): Store =>
      storeWith(kept, {
        commit: async (units, finish) => {
          if (!units.some(({ tx }) => tx)) return kept.commit(units, finish)
          const progress = await kept.commit(
            units.map((unit) => (unit.tx ? {} : unit)),
            finish,
          )
          const effects = await kept.commit(units.map((unit) => (unit.tx ? unit : {})))
          return units.flatMap((unit, index) => (unit.tx ? effects : progress)[index] ?? [])
        },
      })

    const outcomes = await runAll(orders, { only: ['finance'] }, { store })

    expect(failuresOf(outcomes)).toEqual(['consumer finance: crash at the effect'])
    expect(saysOf(outcomes, 'consumer finance: crash at the effect')).toContain('0 effects')
  })

  it("fail when a dead letter is nobody's, a key is not held, or a replay runs again", async () => {
    const owner = team('stranger')
    const seams = consumersWith(() => ({ owner, afterDeadLetter: 'skip', replay: 'guarded' }))

    expect(failuresOf(await runAll(orders, { only: ['finance'] }, seams))).toEqual([
      'consumer finance: retry curve',
      'consumer finance: poison',
      'consumer finance: replay',
    ])
  })

  it('fail when the order of a key is not kept (M6)', async () => {
    const seams = consumersWith(() => ({ ordering: 'none' }))

    expect(failuresOf(await runAll(orders, { only: ['finance'] }, seams))).toContain(
      'consumer finance: order per key',
    )
  })

  it('fail when the border takes what is too large, or treats a used key by another rule', async () => {
    const seams: BenchSeams = {
      integration: (declared) => ({
        ...declared,
        webhooks: declared.webhooks.map((one) => ({
          ...one,
          bodyBytesMax: 16_000_000,
          idempotency: { ...one.idempotency, mismatch: 'first-wins' },
        })),
      }),
    }

    expect(failuresOf(await runAll(orders, { only: ['acme'] }, seams))).toEqual([
      'webhook acme: changed body',
      'webhook acme: oversize',
    ])
  })

  it('fail when the border takes any version and any body', async () => {
    const any = { type: 'object' }
    const versions = [1, 2, 999_999]
    const seams: BenchSeams = {
      integration: (declared) => ({
        ...declared,
        webhooks: declared.webhooks.map((one) => ({
          ...one,
          accepts: { ...one.accepts, versions: new Map(versions.map((at) => [at, any])) },
          transforms: new Map(versions.map((at) => [at, () => undefined])),
        })),
      }),
    }

    expect(failuresOf(await runAll(orders, { only: ['acme'] }, seams))).toEqual([
      'webhook acme: unknown version',
      'webhook acme: invalid payload',
    ])
  })

  it('fail when progress is saved after the effect, in a commit of its own', async () => {
    const store = (kept: Store): Store =>
      storeWith(kept, {
        commit: async (units, finish) => {
          if (!units.some(({ tx }) => tx)) return kept.commit(units, finish)
          const effects = await kept.commit(units.map((unit) => (unit.tx ? unit : {})))
          const progress = await kept.commit(
            units.map((unit) => (unit.tx ? {} : unit)),
            finish,
          )
          return units.flatMap((unit, index) => (unit.tx ? effects : progress)[index] ?? [])
        },
      })

    const outcomes = await runAll(orders, { only: ['finance'] }, { store })

    expect(failuresOf(outcomes)).toEqual(['consumer finance: crash at the effect'])
    expect(saysOf(outcomes, 'consumer finance: crash at the effect')).toContain('2 effects')
  })

  it('fail when what ctx.once did, or that a message was suspect, is forgotten', async () => {
    const forget =
      (collection: string) =>
      (kept: Store): Store =>
        storeWith(kept, {
          commit: (units, finish) =>
            kept.commit(
              units.map(({ rows = [], ...unit }) => ({
                ...unit,
                rows: rows.filter((row) => row.collection !== collection),
              })),
              finish,
            ),
        })
    const only = { only: ['mailer'] }

    const withoutOnce = await runAll(shipping, only, { store: forget('onceResults') })
    const withoutSuspects = await runAll(shipping, only, { store: forget('suspects') })

    expect(failuresOf(withoutOnce)).toContain('consumer mailer: second attempt')
    expect(failuresOf(withoutSuspects)).toEqual(['consumer mailer: kills the process'])
  })
})
