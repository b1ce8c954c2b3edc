import { ok } from 'node:assert/strict'
import type { BrokerFeatures } from '../contract/index.ts'
import type { Broker, BrokerState } from '../transport/index.ts'
import type { BrokerBench, BrokerCase } from './broker-conformance/broker-case.ts'
import { FAILURE_CASES } from './broker-conformance/failure-cases.ts'
import { FOLLOW_CASES } from './broker-conformance/follow-cases.ts'
import { PUBLISH_CASES } from './broker-conformance/publish-cases.ts'
import { READ_CASES } from './broker-conformance/read-cases.ts'
import { registerCases, type SkippedCase, type SuiteRunner } from './register-cases.ts'

/** A broker for one case; the server may be shared, its channels are not. */
export interface BrokerHarness {
  /** Opens one more connection to the same server, with a prefix that no other case uses. */
  open(onState?: (state: BrokerState) => void): Promise<Broker>
  /** What `read` takes to read a channel; makes it where the engine needs something made. */
  topicOf(channel: string): Promise<string>
  /** Ends the server at once and starts it again on the same data and port. */
  restart?(): Promise<void>
  /** Ends the server; `restart` brings it back. */
  stop?(): Promise<void>
  /** The same without the data. */
  wipe?(): Promise<void>
  /** Closes what is open and removes what was made. */
  dispose(): Promise<void>
}

export interface BrokerConformanceOptions {
  create(): Promise<BrokerHarness>
  /** What the driver claims; cases of what it does not claim are left out. */
  readonly features: BrokerFeatures
  readonly runner: SuiteRunner
  /** Cases that are known not to hold, by title, each with its reason. */
  readonly skip?: readonly SkippedCase[]
  /** How long a case waits for what must come. @default 15_000 */
  readonly patienceMs?: number
}

/**
 * The promise of the Broker port as tests: a driver is a driver when all of them pass on the real
 * server. They run in real time.
 *
 * @returns how many cases were registered, so that a caller can see that it was not none.
 * @throws AssertionError when `skip` names no case or gives no reason.
 */
export const testBroker = (options: BrokerConformanceOptions): number =>
  registerCases({
    ...options,
    port: 'broker',
    groups: GROUPS,
    run: (wanted) => runCase(wanted, options),
  })

const GROUPS: readonly { readonly title: string; readonly cases: readonly BrokerCase[] }[] = [
  { title: 'publishing', cases: PUBLISH_CASES },
  { title: 'following', cases: FOLLOW_CASES },
  { title: 'reading', cases: READ_CASES },
  { title: 'failures', cases: FAILURE_CASES },
]

async function runCase(
  { title, run }: BrokerCase,
  { create, features, patienceMs = 15_000 }: BrokerConformanceOptions,
): Promise<void> {
  const harness = await create()
  const opened: Broker[] = []
  const needed = (what: 'restart' | 'stop' | 'wipe'): Promise<void> => {
    const act = harness[what]
    ok(act, `this harness cannot ${what}: skip with a reason: ${title}`)
    return act.call(harness)
  }
  const bench: BrokerBench = {
    features,
    async open(onState) {
      const broker = await harness.open(onState)
      opened.push(broker)
      return broker
    },
    topicOf: (channel) => harness.topicOf(channel),
    restart: () => needed('restart'),
    stop: () => needed('stop'),
    wipe: () => needed('wipe'),
    patienceMs,
  }
  try {
    await run(bench)
  } finally {
    for (const broker of opened) await broker.close()
    await harness.dispose()
  }
}
