import { ok } from 'node:assert/strict'
import type { Features } from '../contract/index.ts'
import { createSeededRandom, type Random } from '../kernel/index.ts'
import type { Store } from '../store/index.ts'
import { CLAIM_CASES } from './store-conformance/claim-cases.ts'
import { COMMIT_CASES } from './store-conformance/commit-cases.ts'
import type { Bench, ConformanceCase } from './store-conformance/conformance-case.ts'
import { LIFECYCLE_CASES } from './store-conformance/lifecycle-cases.ts'
import { LOG_CASES } from './store-conformance/log-cases.ts'
import { RECORD_KEY_CASES } from './store-conformance/record-key-cases.ts'
import { ROW_CASES } from './store-conformance/row-cases.ts'
import { TX_CASES } from './store-conformance/tx-cases.ts'
import { TX_TOGETHER_CASES } from './store-conformance/tx-together-cases.ts'
import { registerCases, type SkippedCase, type SuiteRunner } from './register-cases.ts'
import { createVirtualClock, type VirtualClock } from './virtual-clock.ts'

/** What a driver is given for one case: nothing but this may decide what it does. */
export interface StoreSetup {
  readonly clock: VirtualClock
  readonly random: Random
  /** Begin a new partition of the log after every day, or as soon as the driver can. */
  readonly smallPartitions: boolean
}

/** A store of its own for one case. */
export interface StoreHarness {
  readonly store: Store
  /** Closes the store and opens it again on the same data. */
  reopen(): Promise<Store>
  /**
   * Ends the store as a process does that is killed, and opens it again on what has survived.
   * A driver for which this cannot be done skips those cases and says why.
   */
  crash?(): Promise<Store>
  /** Closes what is open and removes the data. */
  dispose(): Promise<void>
}

export interface StoreConformanceOptions {
  create(setup: StoreSetup): Promise<StoreHarness>
  /** What the driver claims; cases of what it does not claim are left out. */
  readonly features: Features
  readonly runner: SuiteRunner
  /** Cases that are known not to hold, by title, each with its reason. */
  readonly skip?: readonly SkippedCase[]
  /** Of the random cases; shown when one fails. @default 1 */
  readonly seed?: number
}

/**
 * The promise of the Store port as tests: a driver is a driver when all of them pass on the real
 * engine. Each case has a store, a virtual clock and a seeded stream of chance of its own.
 *
 * @returns how many cases were registered, so that a caller can see that it was not none.
 * @throws AssertionError when `skip` names no case or gives no reason.
 */
export const testStore = (options: StoreConformanceOptions): number =>
  registerCases({
    ...options,
    port: 'store',
    groups: GROUPS,
    run: (wanted) => runCase(wanted, options),
  })

const GROUPS: readonly { readonly title: string; readonly cases: readonly ConformanceCase[] }[] = [
  { title: 'commits', cases: COMMIT_CASES },
  { title: 'keys and guards', cases: CLAIM_CASES },
  { title: 'keys of records', cases: RECORD_KEY_CASES },
  { title: 'rows', cases: ROW_CASES },
  { title: 'log', cases: LOG_CASES },
  { title: 'statements', cases: [...TX_CASES, ...TX_TOGETHER_CASES] },
  { title: 'life', cases: LIFECYCLE_CASES },
]

async function runCase(
  { title, run, smallPartitions = false }: ConformanceCase,
  { create, features, seed = 1 }: StoreConformanceOptions,
): Promise<void> {
  const clock = createVirtualClock()
  const random = createSeededRandom(seed)
  const harness = await create({ clock, random, smallPartitions })
  let { store } = harness
  const bench: Bench = {
    get store() {
      return store
    },
    clock,
    random,
    features,
    async reopen() {
      store = await harness.reopen()
    },
    async crash() {
      ok(harness.crash, `this driver cannot crash: skip with a reason: ${title}`)
      store = await harness.crash()
    },
  }
  try {
    await run(bench)
  } finally {
    await harness.dispose()
  }
}
