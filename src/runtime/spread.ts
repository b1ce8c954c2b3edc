/** What may be spread: a partition of a consumer. */
export interface Spreadable {
  readonly id: string
  readonly consumer: string
}

/** What one worker sees of all, at one moment. */
export interface SpreadView {
  readonly partitions: readonly Spreadable[]
  /** Who has each partition that somebody has. */
  readonly holders: ReadonlyMap<string, string>
  /** Workers that live; `self` is one of them. */
  readonly workers: readonly string[]
  readonly self: string
}

export interface SpreadMove {
  /** Free ones to try for, best first. */
  readonly take: readonly string[]
  /** Own ones to give back. */
  readonly giveBack: readonly string[]
}

/**
 * What one worker does about the spread of partitions, without a leader: every worker decides for
 * itself, over what it sees of the leases. Of `n` workers each may have `floor(total / n)`
 * partitions, and as many of them as there are partitions over one more: those that have most, so
 * that nothing moves that is balanced within one. Nobody gives back for a nicer picture.
 *
 * Of one consumer a worker would have its even part, too: it gives back where it has most above
 * that, and takes where it has most below.
 */
export const spreadPartitions = (view: SpreadView): SpreadMove => {
  const { partitions, holders, self } = view
  const workers = [...new Set([...view.workers, self])].sort(compare)
  const own = partitions.filter(({ id }) => holders.get(id) === self)
  const room = allowanceOf(view, workers) - own.length
  const share = shareOf(partitions, workers.length)
  if (room < 0) return { take: [], giveBack: giveBack(own, share, -room) }
  const free = partitions.filter(({ id }) => !holders.has(id))
  // Each begins elsewhere, so that workers that look at the same moment seldom want the same.
  const turn = Math.floor((workers.indexOf(self) * free.length) / workers.length)
  const turned = [...free.slice(turn), ...free.slice(0, turn)]
  return { take: takeMissing(turned, { own, share, count: room }), giveBack: [] }
}

/** How many partitions the worker may have. */
function allowanceOf(
  { partitions, holders, self }: SpreadView,
  workers: readonly string[],
): number {
  const counts = new Map(workers.map((worker) => [worker, 0]))
  for (const { id } of partitions) {
    const holder = holders.get(id)
    const count = holder === undefined ? undefined : counts.get(holder)
    if (holder !== undefined && count !== undefined) counts.set(holder, count + 1)
  }
  const ranked = workers.toSorted(
    (one, other) => (counts.get(other) ?? 0) - (counts.get(one) ?? 0) || compare(one, other),
  )
  const least = Math.floor(partitions.length / workers.length)
  const over = partitions.length % workers.length
  return ranked.indexOf(self) < over ? least + 1 : least
}

/** The even part of each consumer. */
function shareOf(partitions: readonly Spreadable[], workers: number): ReadonlyMap<string, number> {
  const shares = new Map<string, number>()
  for (const { consumer } of partitions) {
    shares.set(consumer, (shares.get(consumer) ?? 0) + 1 / workers)
  }
  return shares
}

function giveBack(
  own: readonly Spreadable[],
  share: ReadonlyMap<string, number>,
  count: number,
): readonly string[] {
  const left = [...own]
  const given: string[] = []
  while (given.length < count) {
    const above = ({ consumer }: Spreadable): number =>
      countOf(left, consumer) - (share.get(consumer) ?? 0)
    const next = left.toSorted((a, b) => above(b) - above(a) || compare(b.id, a.id))[0]
    if (!next) break
    left.splice(left.indexOf(next), 1)
    given.push(next.id)
  }
  return given
}

function takeMissing(
  free: readonly Spreadable[],
  {
    own,
    share,
    count,
  }: {
    readonly own: readonly Spreadable[]
    readonly share: ReadonlyMap<string, number>
    readonly count: number
  },
): readonly string[] {
  const mine = [...own]
  const left = [...free]
  const taken: string[] = []
  while (taken.length < count) {
    const below = ({ consumer }: Spreadable): number =>
      (share.get(consumer) ?? 0) - countOf(mine, consumer)
    const next = left.toSorted((a, b) => below(b) - below(a))[0]
    if (!next) break
    left.splice(left.indexOf(next), 1)
    mine.push(next)
    taken.push(next.id)
  }
  return taken
}

const countOf = (partitions: readonly Spreadable[], consumer: string): number =>
  partitions.filter((one) => one.consumer === consumer).length

const compare = (one: string, other: string): number => (one < other ? -1 : one > other ? 1 : 0)
