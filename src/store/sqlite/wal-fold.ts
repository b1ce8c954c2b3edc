import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { LIMITS, type Logger, messageOf } from '../../kernel/index.ts'
import { type Connection, integerAt } from './connection.ts'
import type { FoldAnswer } from './fold-worker.ts'
import { isFull } from './sqlite-errors.ts'

export interface WalFoldOptions {
  readonly file: string
  readonly writer: Connection
  readonly log: Logger
  /** Told when a fold failed: what the disk refused once is not trusted again (F21). */
  readonly onFailed: (problem: string) => void
}

/**
 * Keeps the write-ahead log short. Moving its pages into the file, and syncing that, takes tens of
 * milliseconds, and the engine would do it inside some commit, with the event loop standing still;
 * so a thread does it. The thread starts with the first lot that is worth it: a store that writes
 * little never has one.
 *
 * While commits go on, the thread never reaches the end of the log, which begins anew only when all
 * of it is folded. So once it is long, commits wait while the thread folds the rest, a few pages
 * then. The sync of that stops them for tens of milliseconds, and nothing but them.
 *
 * Modes: quiet; folding, while the thread is at it; due, when the next commit is followed by the
 * rest; resting, while commits wait for it; without a thread, where it could not be started: then
 * all is folded between two commits.
 */
export class WalFold {
  readonly #options: WalFoldOptions
  #worker: Worker | undefined
  #mode: 'quiet' | 'folding' | 'due' | 'resting' = 'quiet'
  #pause: Promise<void> | undefined
  #resume: () => void = () => undefined
  #hasNoThread = false
  #isClosed = false
  /** Written since the last fold began; an estimate, since the engine does not tell. */
  #bytes = 0

  constructor(options: WalFoldOptions) {
    this.#options = options
  }

  /** What writes next waits for this. */
  get pause(): Promise<void> | undefined {
    return this.#pause
  }

  /** After a commit, inside the queue of what writes; never throws, for the commit is done. */
  committed(appendedBytes: number): void {
    this.#bytes += appendedBytes + COMMIT_BYTES
    if (this.#mode === 'due') this.#foldRest()
    if (this.#mode !== 'quiet' || this.#bytes < LIMITS.walFoldBytes) return
    if (this.#hasNoThread) return this.#foldHere()
    this.#mode = 'folding'
    this.#tellThread()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#worker?.terminate()
    this.#worker = undefined
    this.#goOn()
  }

  #foldRest(): void {
    if (this.#hasNoThread) return this.#foldHere()
    this.#mode = 'resting'
    this.#pause = new Promise((resolve) => (this.#resume = resolve))
    // Who waits for nothing but a commit must not end before it.
    this.#tellThread().ref()
  }

  #goOn(): void {
    this.#worker?.unref()
    this.#pause = undefined
    this.#resume()
  }

  #tellThread(): Worker {
    this.#bytes = 0
    const worker = this.#thread()
    // A thread has one listener and no origin.
    // oxlint-disable-next-line unicorn/require-post-message-target-origin
    worker.postMessage('fold')
    return worker
  }

  #foldHere(): void {
    this.#mode = 'quiet'
    this.#bytes = 0
    try {
      const [row] = this.#options.writer.rows('PRAGMA wal_checkpoint(PASSIVE)')
      if (row && integerAt(row, 0) !== 0) this.#mode = 'due'
    } catch (error) {
      this.#failed(messageOf(error), isFull(error))
    }
  }

  /** The log still has everything: with a full disk the next lot tries again (F20). */
  #failed(problem: string, isDiskFull: boolean): void {
    if (!isDiskFull) return this.#options.onFailed(problem)
    const { log, file } = this.#options
    log.warn({ file, problem }, 'the write-ahead log grows, because the disk is full')
    this.#mode = 'quiet'
  }

  #thread(): Worker {
    if (this.#worker) return this.#worker
    const { file, log } = this.#options
    // The same file as TypeScript and as what was built of it.
    const script = new URL(`./fold-worker${extname(import.meta.filename)}`, import.meta.url)
    const worker = new Worker(script, { workerData: file, execArgv: ['--no-warnings'] })
    worker.unref()
    worker.on('message', (answer: FoldAnswer) => this.#folded(answer))
    worker.on('error', (error) => {
      log.warn({ file, problem: messageOf(error) }, 'the thread that folds the log has ended')
      this.#withoutThread()
    })
    worker.on('exit', () => this.#withoutThread())
    this.#worker = worker
    return worker
  }

  #folded(answer: FoldAnswer): void {
    if (this.#isClosed) return
    const isRest = this.#mode === 'resting'
    if ('problem' in answer) this.#failed(answer.problem, answer.isFull)
    // A reader elsewhere may hold the log's end: then the next lot tries again.
    else this.#mode = !isRest && answer.frames > LIMITS.walFramesMax ? 'due' : 'quiet'
    if (isRest) this.#goOn()
  }

  #withoutThread(): void {
    this.#worker = undefined
    this.#hasNoThread = true
    if (this.#mode === 'folding' || this.#mode === 'resting') this.#mode = 'due'
    this.#goOn()
  }
}

/** Pages that every commit writes whatever it holds: progress, claims, ends of tables. */
const COMMIT_BYTES = 65_536
