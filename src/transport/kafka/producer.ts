import { JuncturaError, LIMITS, type Timer } from '../../kernel/index.ts'
import type { BrokerMessage } from '../broker.ts'
import type { Cluster, TopicView } from './cluster.ts'
import { isRefused, isSequenceError, refused, toPortError, unavailable } from './kafka-error.ts'
import { type PartitionBatch, type ProducerIdentity, sendProduce } from './produce-request.ts'
import { batchesOf, cutJob, type Job, type Piece, type Round } from './publish-job.ts'
import type { Wire } from './wire.ts'

export interface ProducerOptions {
  readonly cluster: Cluster
  readonly publishTimeoutMs: number
  readonly messageBytesMax: number
}

/**
 * Writes to partitions in the order in which it is called, and what a retry repeats is dropped by
 * the broker: an idempotent producer, in the words of Kafka.
 *
 * What waits is cut into rounds of bounded size: one request per broker, in it one batch for each
 * partition. There are two modes.
 * - Flowing: a few rounds are on their way at once. Of one partition Kafka takes them in order or
 *   not at all, by the numbers in the batches.
 * - Repairing: entered when a round fails, or when something is missing to send one (a connection,
 *   the leaders, the producer's number). First everything on its way comes back; then what is not
 *   confirmed is sent again in order, one round after the other, until all is or its time is over.
 *
 * A batch keeps its numbers while nothing before it changes, so that the broker knows a repeat.
 * Once something that was numbered is given up, the epoch grows and the numbers start anew: what
 * was confirmed unheard may then be there twice, and what is late on its way is refused by Kafka.
 */
export class Producer {
  readonly #options: ProducerOptions
  readonly #cluster: Cluster
  readonly #jobs = new Set<Job>()
  #queue: Piece[] = []
  #queuedBytes = 0
  /** Taken from the queue and not confirmed, in order. */
  #rounds: Round[] = []
  #onTheirWay = 0
  #isFlowing = true
  #willPump = false
  #identity: ProducerIdentity | undefined
  readonly #sequences = new Map<string, number>()
  readonly #topics = new Map<string, TopicView>()
  readonly #wires = new Map<number, Wire>()
  #repairing: Promise<void> = Promise.resolve()
  #expiry: Timer | undefined
  #problem = 'it was not confirmed in time'
  #wakeRepair = new AbortController()
  #idle: (() => void)[] = []
  #isClosed = false

  constructor(options: ProducerOptions) {
    this.#options = options
    this.#cluster = options.cluster
  }

  /** See `Broker.publish`. */
  publish(topic: string, messages: readonly BrokerMessage[]): Promise<void> {
    if (this.#isClosed) {
      const details = { what: 'The broker' }
      return Promise.reject(new JuncturaError('JUNCTURA_CLOSED', { details }))
    }
    const dueMs = this.#cluster.options.clock.monotonicMs() + this.#options.publishTimeoutMs
    return new Promise((resolve, reject) => {
      const job: Job = { topic, dueMs, resolve, reject, open: 0, isOver: false }
      const pieces = cutJob(job, messages, this.#options.messageBytesMax)
      if (pieces.length === 0) return resolve()
      if (this.#queuedBytes > LIMITS.kafkaWaitingBytesMax) {
        throw unavailable(`${this.#queuedBytes} bytes wait already to be published`)
      }
      job.open = pieces.length
      this.#jobs.add(job)
      for (const piece of pieces) {
        this.#queue.push(piece)
        this.#queuedBytes += piece.bytes
      }
      this.#watchTime()
      this.#pumpSoon()
    })
  }

  /** Takes no more, and waits for what is being published, as long as that may take. */
  async drain(): Promise<void> {
    this.#isClosed = true
    if (this.#jobs.size > 0) await new Promise<void>((resolve) => this.#idle.push(resolve))
    this.#expiry?.cancel()
    this.#wakeRepair.abort()
  }

  /** Frees its connections, once the cluster is closed. */
  async release(): Promise<void> {
    await this.#repairing
    for (const wire of this.#wires.values()) wire.destroy()
  }

  /** What is published in one turn shares a round. */
  #pumpSoon(): void {
    if (this.#willPump) return
    this.#willPump = true
    queueMicrotask(() => {
      this.#willPump = false
      this.#pump()
    })
  }

  #pump(): void {
    while (this.#isFlowing && this.#onTheirWay < LIMITS.kafkaRequestsMax) {
      const pieces = this.#nextPieces()
      if (pieces.length === 0) return
      const round: Round = { pieces }
      this.#rounds.push(round)
      if (!this.#canSend(pieces)) return this.#stopFlowing()
      this.#number(round)
      this.#onTheirWay += 1
      void this.#send(round).then(
        () => this.#settled(round),
        (error: unknown) => this.#settled(round, error),
      )
    }
  }

  #settled(round: Round, error?: unknown): void {
    this.#onTheirWay -= 1
    if (error === undefined) this.#confirm(round)
    else {
      this.#note(error)
      this.#isFlowing = false
    }
    if (this.#isFlowing) this.#pump()
    else this.#stopFlowing()
  }

  /** The repair waits for what is on its way: two that send the same would look out of order. */
  #stopFlowing(): void {
    this.#isFlowing = false
    if (this.#onTheirWay > 0) return
    this.#wakeRepair = new AbortController()
    this.#repairing = this.#repair()
  }

  #nextPieces(): readonly Piece[] {
    let bytes = 0
    let count = 0
    for (const piece of this.#queue) {
      if (count > 0 && bytes + piece.bytes > LIMITS.kafkaRequestBytesMax) break
      bytes += piece.bytes
      count += 1
    }
    this.#queuedBytes -= bytes
    return this.#queue.splice(0, count)
  }

  #canSend(pieces: readonly Piece[]): boolean {
    return (
      this.#identity !== undefined &&
      pieces.every(({ job, messages }) =>
        messages.every(({ partition }) => {
          const leader = this.#topics.get(job.topic)?.partitions[partition]?.leader
          return leader !== undefined && this.#wires.get(leader)?.isOpen === true
        }),
      )
    )
  }

  #number(round: Round): void {
    round.batches = batchesOf(round.pieces, (topic, partition, count) => {
      const key = `${topic}/${partition}`
      const first = this.#sequences.get(key) ?? 0
      this.#sequences.set(key, (first + count) % SEQUENCES)
      return first
    })
  }

  /** Sends before it returns. Settles when every part has. */
  async #send({ batches = [] }: Round): Promise<void> {
    const { kafka, clock } = this.#cluster.options
    const identity = this.#identity
    if (!identity) throw unavailable('the producer has no number')
    const byLeader = new Map<number, PartitionBatch[]>()
    for (const batch of batches) {
      const leader = this.#topics.get(batch.topic)?.partitions[batch.partition]?.leader ?? -1
      const others = byLeader.get(leader)
      if (others) others.push(batch)
      else byLeader.set(leader, [batch])
    }
    const timeoutMs = this.#options.publishTimeoutMs
    const options = { kafka, identity, atMs: clock.now(), timeoutMs }
    const parts = [...byLeader].map(([leader, some]) => {
      const wire = this.#wires.get(leader)
      return wire
        ? sendProduce(wire, some, options)
        : Promise.reject(unavailable('the leader of a partition is not reached'))
    })
    for (const result of await Promise.allSettled(parts)) {
      if (result.status === 'rejected') throw result.reason
    }
  }

  async #repair(): Promise<void> {
    for (let tries = 0; this.#jobs.size > 0; tries++) {
      let current: Round | undefined
      try {
        this.#forgetOver()
        await this.#prepare()
        for (;;) {
          this.#forgetOver()
          current = this.#rounds[0]
          if (!current) break
          if (!current.batches) this.#number(current)
          await this.#send(current)
          this.#confirm(current)
        }
        break
      } catch (error) {
        this.#note(error)
        if (this.#judge(error, current)) continue
      }
      this.#wakeRepair = new AbortController()
      await this.#cluster.pause(tries, this.#wakeRepair.signal)
    }
    this.#forgetOver()
    this.#isFlowing = true
    this.#pumpSoon()
  }

  /** Whether something has changed, so that it need not be waited before it is tried again. */
  #judge(error: unknown, round: Round | undefined): boolean {
    if (isSequenceError(error)) {
      this.#startAnew()
      return false
    }
    const [piece, another] = round?.pieces ?? []
    const portError = toPortError(error, piece ? `topic ${piece.job.topic}` : 'publishing')
    if (!isRefused(portError)) return false
    if (!round) {
      for (const job of this.#jobs) this.#finish(job, portError)
    } else if (piece && !another) {
      this.#finish(piece.job, portError)
    } else {
      // One of them is at fault: alone, each shows it or passes.
      const alone = round.pieces.map((one): Round => ({ pieces: [one] }))
      this.#rounds.splice(this.#rounds.indexOf(round), 1, ...alone)
      this.#startAnew()
    }
    return true
  }

  /** Everything that is needed to send what waits. */
  async #prepare(): Promise<void> {
    const cluster = this.#cluster
    const pieces = [...this.#rounds.flatMap((round) => round.pieces), ...this.#queue]
    const names = [...new Set(pieces.map(({ job }) => job.topic))]
    const found = await cluster.topics(names)
    for (const name of names) {
      const view = found.get(name)
      const known = this.#topics.get(name)
      // After a wipe another producer may have been given our number.
      if (known && known.id !== view?.id) this.#identity = undefined
      if (view) this.#topics.set(name, view)
      else this.#topics.delete(name)
    }
    this.#refuseUnknown(pieces)
    this.#identity ??= await this.#newIdentity()
    const leaders = new Set(
      names.flatMap((name) => found.get(name)?.partitions.map(({ leader }) => leader) ?? []),
    )
    for (const leader of leaders) await this.#connect(leader)
  }

  /** One that is not reached keeps back only what is meant for it. */
  async #connect(leader: number): Promise<void> {
    if (leader < 0 || this.#wires.get(leader)?.isOpen) return
    this.#wires.get(leader)?.destroy()
    this.#wires.delete(leader)
    try {
      this.#wires.set(leader, await this.#cluster.connect(leader, this.#cluster.signal))
    } catch (error) {
      this.#note(error)
    }
  }

  #refuseUnknown(pieces: readonly Piece[]): void {
    for (const { job, messages } of pieces) {
      const view = this.#topics.get(job.topic)
      if (!view) {
        this.#finish(job, unavailable(`there is no topic ${job.topic}`))
        continue
      }
      if (view.problem) {
        this.#finish(job, view.problem)
        continue
      }
      const count = view.partitions.length
      const wrong = messages.find(({ partition }) => partition >= count)
      if (!wrong) continue
      const problem = `it has ${count} partitions, and partition ${wrong.partition} is wanted`
      const fix = `set the option partitions to ${count}`
      this.#finish(job, refused(`topic ${job.topic}`, problem, fix))
    }
    this.#forgetOver()
  }

  async #newIdentity(): Promise<ProducerIdentity> {
    const { kafka, requestTimeoutMs } = this.#cluster.options
    const wire = await this.#cluster.ready()
    const { producerId, producerEpoch } = await wire.request<InitAnswer>(
      requestTimeoutMs,
      (connection, done) =>
        kafka.initProducerIdV4.api(connection, null, requestTimeoutMs, -1n, -1, done),
    )
    this.#sequences.clear()
    for (const round of this.#rounds) delete round.batches
    return { id: producerId, epoch: producerEpoch }
  }

  #startAnew(): void {
    this.#sequences.clear()
    for (const round of this.#rounds) delete round.batches
    const identity = this.#identity
    const canGrow = identity !== undefined && identity.epoch < EPOCH_MAX
    this.#identity = canGrow ? { ...identity, epoch: identity.epoch + 1 } : undefined
  }

  /** Takes out what nobody waits for any more. */
  #forgetOver(): void {
    this.#queue = this.#queue.filter(({ job }) => !job.isOver)
    this.#queuedBytes = this.#queue.reduce((sum, { bytes }) => sum + bytes, 0)
    let wasNumbered = false
    this.#rounds = this.#rounds.flatMap((round) => {
      const pieces = round.pieces.filter(({ job }) => !job.isOver)
      if (pieces.length === round.pieces.length) return [round]
      wasNumbered ||= round.batches !== undefined
      return pieces.length === 0 ? [] : [{ pieces }]
    })
    if (wasNumbered) this.#startAnew()
  }

  #confirm(round: Round): void {
    this.#rounds = this.#rounds.filter((one) => one !== round)
    for (const { job } of round.pieces) {
      job.open -= 1
      if (job.open === 0) this.#finish(job)
    }
  }

  #finish(job: Job, error?: Error): void {
    if (job.isOver) return
    job.isOver = true
    this.#jobs.delete(job)
    if (error) job.reject(error)
    else job.resolve()
    if (this.#jobs.size > 0) return
    const idle = this.#idle
    this.#idle = []
    for (const resolve of idle) resolve()
  }

  /** Jobs are due in the order in which they came. */
  #watchTime(): void {
    const [first] = this.#jobs
    if (this.#expiry || !first) return
    const { clock } = this.#cluster.options
    this.#expiry = clock.setTimer(first.dueMs - clock.monotonicMs(), () => {
      this.#expiry = undefined
      this.#giveUpDue()
      this.#watchTime()
    })
  }

  #giveUpDue(): void {
    const nowMs = this.#cluster.options.clock.monotonicMs()
    let isAnyDue = false
    for (const job of this.#jobs) {
      if (job.dueMs > nowMs) break
      isAnyDue = true
      this.#finish(job, unavailable(this.#problem))
    }
    if (!isAnyDue) return
    // What was sent for it must not be confirmed later: the numbers start anew.
    for (const wire of this.#wires.values()) wire.destroy()
    if (!this.#isFlowing) this.#wakeRepair.abort()
    else if (this.#onTheirWay === 0) this.#forgetOver()
  }

  #note(error: unknown): void {
    this.#problem = toPortError(error, 'publishing').details['problem']?.toString() ?? ''
  }
}

type InitAnswer = { readonly producerId: bigint; readonly producerEpoch: number }

/** Numbers of messages in a partition begin again after this many. */
const SEQUENCES = 2_147_483_648
/** The last one is kept by Kafka for itself. */
const EPOCH_MAX = 32_766
