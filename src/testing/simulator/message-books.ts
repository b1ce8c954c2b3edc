import { readSlots, slotOfLane } from '../../consumer/index.ts'
import {
  type Consumer,
  decodeRecord,
  type Envelope,
  type Integration,
  SLOT_COUNT,
} from '../../contract/index.ts'
import type {
  SlotRange,
  AppliedCommit,
  DeadLetterRow,
  LaneRow,
  ProgressRow,
  StoredRecord,
  SuccessorRow,
} from '../../store/index.ts'
import type { HandlerCall } from './observer.ts'

/** One row of the ledger: an effect that is durable. */
export interface EffectRow {
  readonly consumer: string
  readonly messageId: string
  readonly lane: string
  readonly position: number
  /** The replay that ran it again, or nothing. */
  readonly run: string
}

/** A message of the log. */
export interface LoggedMessage {
  readonly id: string
  readonly type: string
  readonly key: string
  readonly position: number
  /** Webhook and idempotency key, where it came through the border. */
  readonly border: string | undefined
  readonly bodySha256: string | undefined
  readonly isReceipt: boolean
  readonly atMs: number
}

/** What the books know of one consumer. */
interface ConsumerBook {
  readonly consumer: Consumer
  /** Of each partition, by its slots. */
  readonly watermarks: Map<string, number>
  /** In the log for this consumer, and not finished by its progress. */
  readonly pending: Set<number>
  readonly finished: Set<number>
  readonly lanes: Map<string, LaneRow>
  readonly successors: Map<number, SuccessorRow>
  readonly letters: Map<number, DeadLetterRow>
  /** Handled to the end without a transaction, which leaves nothing to see. */
  readonly handled: Set<number>
  /** Effects by position: how often without a replay, and by which replays. */
  readonly effects: Map<number, { plain: number; readonly runs: Set<string> }>
  readonly lastEffect: Map<string, number>
}

/** Where a message is for one consumer, as the durable rows say. */
export type MessageState = 'pending' | 'done' | 'parked' | 'dead' | 'dropped'

/** A claim may end early, by a clock that is wrong by ten minutes, and a commit takes its time. */
const CLAIM_MS_LESS = 660_000

/**
 * What every consumer owes, kept from the durable rows alone as each commit is applied. After each
 * commit every message that it touched must be in exactly one state; a message in none is lost, in
 * two is about to be doubled.
 */
export class MessageBooks {
  readonly messages: Map<number, LoggedMessage> = new Map()
  readonly ids: Map<string, number> = new Map()
  readonly #books = new Map<string, ConsumerBook>()
  readonly #known = new Set<string>()
  readonly #byBorder = new Map<string, LoggedMessage>()
  /** How long each webhook remembers a key. */
  readonly #rememberedMs: ReadonlyMap<string, number>
  readonly #fail: (sentence: string) => void
  readonly #guarded: boolean

  constructor(integration: Integration, fail: (sentence: string) => void) {
    this.#fail = fail
    this.#rememberedMs = new Map(
      integration.webhooks.map(({ name, idempotency }) => [name, idempotency.retentionMs]),
    )
    this.#guarded = integration.consumers.some(({ replay }) => replay === 'guarded')
    for (const consumer of integration.consumers) {
      this.#books.set(consumer.name, {
        consumer,
        watermarks: new Map(),
        pending: new Set(),
        finished: new Set(),
        lanes: new Map(),
        successors: new Map(),
        letters: new Map(),
        handled: new Set(),
        effects: new Map(),
        lastEffect: new Map(),
      })
    }
  }

  /** A commit is durable, with these effects in it; gives the messages that it brought. */
  applied(
    { records, rows }: AppliedCommit,
    effects: readonly EffectRow[],
  ): readonly LoggedMessage[] {
    const messages = records.map((record) => this.#log(record))
    const touched = new Map<ConsumerBook, Set<number>>()
    const touch = (book: ConsumerBook, position: number): void => {
      let positions = touched.get(book)
      if (!positions) touched.set(book, (positions = new Set()))
      positions.add(position)
    }
    for (const effect of effects) this.#effect(effect, touch)
    for (const write of rows) {
      if (write.collection === 'progress') this.#progress(write.row, touch)
      else if (write.collection === 'lanes') this.#lane(write.key, write.row, touch)
      else if (write.collection === 'successors') this.#successor(write.key, write.row, touch)
      else if (write.collection === 'deadLetters') this.#letter(write.row, touch)
    }
    for (const [book, positions] of touched) {
      for (const position of positions) this.#check(book, position)
    }
    return messages
  }

  /** A handler ended well and had no transaction. */
  handledWithoutTx({ consumer, position }: HandlerCall): void {
    this.#books.get(consumer.name)?.handled.add(position)
  }

  lane(consumer: string, key: string): LaneRow | undefined {
    return this.#books.get(consumer)?.lanes.get(key)
  }

  letterAt(consumer: string, position: number): DeadLetterRow | undefined {
    return this.#books.get(consumer)?.letters.get(position)
  }

  isSuccessor(consumer: string, position: number): boolean {
    return this.#books.get(consumer)?.successors.has(position) ?? false
  }

  *lanes(): Iterable<LaneRow> {
    for (const book of this.#books.values()) yield* book.lanes.values()
  }

  /** The message that one request of a partner became. */
  ofBorder(border: string): LoggedMessage | undefined {
    return this.#byBorder.get(border)
  }

  /** Whether a message or a receipt of that id is, or was, in the log. */
  isKnown(id: string): boolean {
    return this.#known.has(id)
  }

  /** Whether something that a replay brought waits behind a parked key, for a person. */
  isReplayParked(runId: string): boolean {
    for (const { consumer, lanes, successors } of this.#books.values()) {
      for (const { replay, lane } of successors.values()) {
        const key = lane.slice(consumer.name.length + 1)
        if (replay === runId && lanes.get(key)?.state === 'parked') return true
      }
    }
    return false
  }

  /** What is still going to happen by itself; empty when the world may rest. */
  *unrest(): Generator<string> {
    for (const { consumer, pending, lanes, successors } of this.#books.values()) {
      if (pending.size > 0) yield `${consumer.name} has ${pending.size} messages to handle`
      for (const lane of lanes.values()) {
        if (lane.state === 'parked' && lane.runningEpoch === undefined) continue
        yield `${consumer.name} has the key ${lane.key} in state ${lane.state}`
      }
      for (const row of successors.values()) {
        const key = row.lane.slice(consumer.name.length + 1)
        if (lanes.get(key)?.state !== 'parked')
          yield `${consumer.name} has position ${row.position} waiting behind nothing`
      }
    }
  }

  /** At rest: everything once more, also what no commit has touched. */
  checkAll(): void {
    for (const book of this.#books.values()) {
      for (const position of book.finished) this.#check(book, position)
    }
  }

  #log(stored: StoredRecord): LoggedMessage {
    const { position } = stored
    const { head, data } = decodeRecord(stored.bytes, position)
    const { id, type, partitionkey, idempotencykey } = head.envelope
    const isReceipt = data.length === 0
    const border =
      head.receipt === undefined ? undefined : `${head.receipt.webhook}\n${idempotencykey ?? ''}`
    const message: LoggedMessage = {
      id,
      type,
      key: partitionkey,
      position,
      border,
      bodySha256: head.receipt?.bodySha256,
      isReceipt,
      atMs: stored.atMs,
    }
    this.messages.set(position, message)
    this.#known.add(id)
    if (!isReceipt) this.#noteId(head.envelope, position)
    if (border !== undefined) {
      const first = this.#byBorder.get(border)
      const rememberedMs = this.#rememberedMs.get(head.receipt?.webhook ?? '') ?? 0
      const isForgotten = first && message.atMs - first.atMs > rememberedMs - CLAIM_MS_LESS
      if (first && !isForgotten)
        this.#fail(`two messages came of one request: ${first.id} and ${id}`)
      else this.#byBorder.set(border, message)
    }
    if (isReceipt) return message
    for (const { consumer, pending } of this.#books.values()) {
      if (consumer.on.name === type) pending.add(position)
    }
    return message
  }

  #noteId({ id, causationid }: Envelope, position: number): void {
    // What a guarded replay runs again, it also emits again, under the same id.
    const isAgain = this.ids.has(id) && !(this.#guarded && causationid !== undefined)
    if (isAgain) this.#fail(`${id} is in the log twice`)
    this.ids.set(id, position)
  }

  #effect(effect: EffectRow, touch: (book: ConsumerBook, position: number) => void): void {
    const { consumer, messageId, lane, position, run } = effect
    const book = this.#books.get(consumer)
    if (!book) return
    const message = this.messages.get(position)
    if (message?.id !== messageId)
      this.#fail(`${consumer} had an effect for ${messageId}, which is not in the log`)
    const known = book.effects.get(position)
    const seen = known ?? { plain: 0, runs: new Set<string>() }
    const isAgain = run === '' ? known !== undefined : seen.runs.has(run)
    const mayRepeat = book.consumer.replay === 'guarded'
    if (isAgain || (known && !mayRepeat)) this.#fail(`${consumer} had two effects for ${messageId}`)
    if (run === '') seen.plain += 1
    else seen.runs.add(run)
    book.effects.set(position, seen)
    this.#order(book, { key: lane, position, run })
    touch(book, position)
  }

  /** Effects of one key come in the order of their positions, but for what people bring back. */
  #order(
    book: ConsumerBook,
    effect: { readonly key: string; readonly position: number; readonly run: string },
  ): void {
    const { consumer } = book
    const { key, position, run } = effect
    if (consumer.ordering === 'none') return
    const last = book.lastEffect.get(key) ?? 0
    if (position > last) book.lastEffect.set(key, position)
    const isBroughtBack = run !== '' || book.letters.get(position)?.parked === false
    if (position <= last && !isBroughtBack)
      this.#fail(`${consumer.name} handled position ${position} of ${key} after ${last}`)
  }

  #progress(
    row: ProgressRow | undefined,
    touch: (book: ConsumerBook, position: number) => void,
  ): void {
    const book = row && this.#books.get(row.consumer)
    if (!row || !book) return
    const { watermark, done, slots } = row
    const range = readSlots(slots)
    const before = book.watermarks.get(slots)
    if (before === undefined) {
      // A new consumer begins here: what lies before is not for it.
      for (const position of book.pending) {
        if (position <= watermark && this.#isIn(book, position, range))
          book.pending.delete(position)
      }
    } else if (watermark < before) {
      this.#fail(`the watermark of ${row.consumer} went back from ${before} to ${watermark}`)
    }
    book.watermarks.set(slots, watermark)
    for (const position of book.pending) {
      const isDone =
        position <= watermark || done.some(([from, to]) => from <= position && position <= to)
      if (!isDone || !this.#isIn(book, position, range)) continue
      book.pending.delete(position)
      book.finished.add(position)
      touch(book, position)
    }
  }

  /** Whether a message is for the partition of a consumer that has these slots. */
  #isIn({ consumer }: ConsumerBook, position: number, { first, last }: SlotRange): boolean {
    if (last - first === SLOT_COUNT - 1) return true
    const key = this.messages.get(position)?.key ?? ''
    const slot = slotOfLane(consumer.ordering === 'none' ? `#${position}` : key)
    return first <= slot && slot <= last
  }

  #lane(
    rowKey: string,
    row: LaneRow | undefined,
    touch: (book: ConsumerBook, position: number) => void,
  ): void {
    const { book, rest: key } = this.#bookOfKey(rowKey)
    if (!book) return
    const before = book.lanes.get(key)
    if (before && isHead(before)) touch(book, before.position)
    if (row) book.lanes.set(key, row)
    else book.lanes.delete(key)
    if (row && isHead(row)) touch(book, row.position)
  }

  #successor(
    rowKey: string,
    row: SuccessorRow | undefined,
    touch: (book: ConsumerBook, position: number) => void,
  ): void {
    const { book } = this.#bookOfKey(rowKey)
    if (!book) return
    const position = Number(rowKey.slice(rowKey.lastIndexOf('\n') + 1))
    if (row) book.successors.set(position, row)
    else book.successors.delete(position)
    touch(book, position)
  }

  #letter(
    row: DeadLetterRow | undefined,
    touch: (book: ConsumerBook, position: number) => void,
  ): void {
    if (row?.stage !== 'handler') return
    const book = this.#books.get(row.consumer)
    if (!book) return
    const before = book.letters.get(row.position)
    if (before && before.id !== row.id)
      this.#fail(`${row.consumer} has two dead letters for ${row.messageId}`)
    book.letters.set(row.position, row)
    touch(book, row.position)
  }

  #bookOfKey(rowKey: string): { readonly book: ConsumerBook | undefined; readonly rest: string } {
    const at = rowKey.indexOf('\n')
    return { book: this.#books.get(rowKey.slice(0, at)), rest: rowKey.slice(at + 1) }
  }

  #check(book: ConsumerBook, position: number): void {
    const { consumer, handled } = book
    const states = this.#statesOf(book, position)
    const messageId = this.messages.get(position)?.id ?? `position ${position}`
    if (states.length > 1)
      this.#fail(`${messageId} is ${states.join(' and ')} for ${consumer.name} at once`)
    // A filter, or a handler that needed no transaction, leaves nothing to see.
    // So does the repeat of a command, which is given the first answer.
    const isUnseen = [consumer.filter, consumer.answer].some(Boolean) || handled.has(position)
    if (states.length === 0 && !isUnseen)
      this.#fail(`${messageId} is lost for ${consumer.name}: nothing of it is left, and no effect`)
  }

  #statesOf(book: ConsumerBook, position: number): readonly MessageState[] {
    const states: MessageState[] = []
    const letter = book.letters.get(position)
    const effects = book.effects.get(position)
    const successor = book.successors.get(position)
    const key = this.messages.get(position)?.key ?? ''
    const laneKey = book.consumer.ordering === 'none' ? `#${position}` : key
    const lane = book.lanes.get(laneKey)
    const isLaneHead = lane !== undefined && isHead(lane) && lane.position === position
    if (letter?.state === 'open') states.push('dead')
    if (letter?.state === 'dropped') states.push('dropped')
    // A guarded replay may run what has been done, and it may die this time.
    const isRerun = book.consumer.replay === 'guarded' && letter !== undefined
    if (effects && !(isRerun && letter.state !== 'resolved')) states.push('done')
    if (book.pending.has(position)) states.push('pending')
    // What a person or a replay brings again has been done, or is dead, and is both while it waits.
    const isNew = successor !== undefined && !successor.deadLetter && successor.replay === undefined
    if (isNew && lane?.state === 'parked') states.push('parked')
    else if (isNew) states.push('pending')
    const isWaiting = isLaneHead && lane.deadLetter === undefined && lane.replay === undefined
    if (isWaiting) states.push('pending')
    return states
  }
}

/** Whether the row stands for a message at the head of its key. */
const isHead = ({ state }: LaneRow): boolean => state === 'retry' || state === 'parked'
