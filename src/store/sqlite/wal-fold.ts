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
 * of it is folded. So once it is long, the rest, a few pages then, is folded between two commits.
 *
 * Modes: quiet; folding, while the thread is at it; due, when the next commit folds the rest;
 * without a thread, where it could not be started: then all is folded between two commits.
 */
export class WalFold {
  readonly #options: WalFoldOptions
  #worker: Worker | undefined
  #mode: 'quiet' | 'folding' | 'due' = 'quiet'
  #hasNoThread = false
  #isClosed = false
  /** Written since the last fold began; an estimate, since the engine does not tell. */
  #bytes = 0

  constructor(options: WalFoldOptions) {
    this.#options = options
  }

  /** After a commit, inside the queue of what writes; never throws, for the commit is done. */
  committed(appendedBytes: number): void {
    this.#bytes += appendedBytes + COMMIT_BYTES
    if (this.#mode === 'due') this.#foldRest()
    if (this.#mode !== 'quiet' || this.#bytes < LIMITS.walFoldBytes) return
    if (this.#hasNoThread) return this.#foldRest()
    this.#bytes = 0
    this.#mode = 'folding'
    // A thread has one listener and no origin.
    // oxlint-disable-next-line unicorn/require-post-message-target-origin
    this.#thread().postMessage('fold')
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#worker?.terminate()
    this.#worker = undefined
  }

  #foldRest(): void {
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
    if ('problem' in answer) return this.#failed(answer.problem, answer.isFull)
    this.#mode = answer.frames > LIMITS.walFramesMax ? 'due' : 'quiet'
  }

  #withoutThread(): void {
    this.#worker = undefined
    this.#hasNoThread = true
    if (this.#mode === 'folding') this.#mode = 'due'
  }
}

/** Pages that every commit writes whatever it holds: progress, claims, ends of tables. */
const COMMIT_BYTES = 65_536
