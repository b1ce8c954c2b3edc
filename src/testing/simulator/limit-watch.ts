import type { Integration } from '../../contract/index.ts'
import { LIMITS } from '../../kernel/index.ts'
import { METRICS } from '../../observe/index.ts'
import type { Runtime } from '../../runtime/index.ts'

/** Looked at once in so many events; each look reads a few gauges. */
const EVERY = 64

/** What a process holds in memory: never more than its limits, and nothing once it is at rest. */
export class LimitWatch {
  readonly #fail: (sentence: string) => void
  #events = 0

  constructor(fail: (sentence: string) => void) {
    this.#fail = fail
  }

  look(runtimes: () => readonly Runtime[]): void {
    if (++this.#events % EVERY !== 0) return
    for (const { name, held, most } of runtimes().flatMap(heldBy)) {
      if (held > most) this.#fail(`${held} ${name} are held, allowed are ${most}`)
    }
  }

  /** Whether it holds nothing now; what commits of its own accord may pass by at any moment. */
  isEmpty(runtime: Runtime): boolean {
    return heldBy(runtime).every(({ held }) => held === 0)
  }

  checkAtRest(runtime: Runtime): void {
    for (const { name, held } of heldBy(runtime)) {
      if (held > 0) this.#fail(`${held} ${name} are still held at rest`)
    }
  }
}

const partitionsOf = ({ consumers }: Integration): number =>
  consumers.reduce((sum, { partitions }) => sum + partitions, 0)

const heldBy = ({
  ingress,
  metrics,
  integration,
}: Runtime): readonly { readonly name: string; readonly held: number; readonly most: number }[] => {
  const sumOf = (metric: (typeof METRICS)['inFlight' | 'commitWaiting']): number => {
    const family = metrics.read(metric)
    if (family?.kind !== 'number') return 0
    return family.points.reduce((sum, { value }) => sum + value, 0)
  }
  const handlersMax = integration.consumers.reduce(
    (sum, { concurrency, partitions }) => sum + concurrency * partitions,
    0,
  )
  return [
    { name: 'requests', held: ingress.inFlight, most: LIMITS.requestsInFlightMax + 1 },
    { name: 'bytes', held: ingress.bytesInFlight, most: LIMITS.bodiesInFlightBytesMax },
    { name: 'handlers', held: sumOf(METRICS.inFlight), most: handlersMax },
    // Bookkeeping is let in beside the queue, bounded by what consumers may have fetched.
    {
      name: 'units of commit',
      held: sumOf(METRICS.commitWaiting),
      most: LIMITS.acceptQueueMax + LIMITS.fetchWindowMax * partitionsOf(integration),
    },
  ]
}
