import { type Consumer, decodeRecord } from '../contract/index.ts'
import {
  type DeadLetterRow,
  type LaneRow,
  positionText,
  type SuccessorRow,
} from '../store/index.ts'
import type { Delivered } from '../transport/index.ts'
import type { ConsumerPorts } from './ports.ts'
import { copyKey, itemOf, type ReplayMark, type WorkItem } from './work-item.ts'

/** Replays whose start is remembered. */
const REPLAYS_KNOWN_MAX = 64

/** Makes items of one consumer from their rows. */
export class ItemReader {
  readonly #ports: ConsumerPorts
  readonly #consumer: Consumer
  readonly #replays = new Map<string, ReplayMark>()

  constructor(ports: ConsumerPorts, consumer: Consumer) {
    this.#ports = ports
    this.#consumer = consumer
  }

  /** The head of a held lane, or undefined when its record has expired. */
  async head(row: LaneRow): Promise<WorkItem | undefined> {
    const delivered = await this.record(row.position)
    if (!delivered) return undefined
    const letter = await this.#letter(row.deadLetter)
    const replay = await this.#replayMark(row.replay)
    return itemOf(this.#consumer, delivered, 'head', {
      attempts: row.attempts,
      crashes: row.crashes,
      firstFailedAtMs: row.firstFailedAtMs,
      ...(letter && { letter }),
      ...(replay && { replay }),
    })
  }

  /** A waiting message, or undefined when its record has expired or nobody wants it any more. */
  async successor(row: SuccessorRow): Promise<WorkItem | undefined> {
    const delivered = await this.record(row.position)
    if (!delivered) return undefined
    const letter = await this.#letter(row.deadLetter)
    if (row.deadLetter !== undefined && letter?.state !== 'open') return undefined
    const replay = await this.#replayMark(row.replay)
    return itemOf(this.#consumer, delivered, 'successor', {
      ...(letter && { letter, firstFailedAtMs: letter.firstFailedAtMs }),
      ...(replay && { replay }),
    })
  }

  /** A record by its position, also one that retention has dropped and an exception still needs. */
  async record(position: number): Promise<Delivered | undefined> {
    const { store } = this.#ports
    if (this.#consumer.on.record === 'transport') return this.#copy(position)
    const stored = await store.recordAt(position)
    if (stored) return { ...stored, record: decodeRecord(stored.bytes, position) }
    const held = await store.row('held', positionText(position))
    if (!held) return undefined
    const bytes = Buffer.from(held.record, 'base64')
    return { position, slot: held.slot, atMs: held.atMs, record: decodeRecord(bytes, position) }
  }

  /** What left memory was copied in the commit that let the watermark pass it. */
  async #copy(position: number): Promise<Delivered | undefined> {
    const copy = await this.#ports.store.row('copies', copyKey(this.#consumer.name, position))
    if (!copy) return undefined
    const { slot, atMs } = copy
    const record = decodeRecord(Buffer.from(copy.record, 'base64'), position)
    return { position, slot, atMs, record }
  }

  async #letter(id: string | undefined): Promise<DeadLetterRow | undefined> {
    return id === undefined ? undefined : this.#ports.store.row('deadLetters', id)
  }

  async #replayMark(runId: string | undefined): Promise<ReplayMark | undefined> {
    if (runId === undefined) return undefined
    const known = this.#replays.get(runId)
    if (known) return known
    const row = await this.#ports.store.row('replays', runId)
    const mark = { runId, startedAtMs: row?.startedAtMs ?? 0 }
    if (this.#replays.size >= REPLAYS_KNOWN_MAX) this.#replays.clear()
    this.#replays.set(runId, mark)
    return mark
  }
}
