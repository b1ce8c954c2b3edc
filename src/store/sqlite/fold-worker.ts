import { DatabaseSync } from 'node:sqlite'
import { parentPort, workerData } from 'node:worker_threads'
import { messageOf } from '../../kernel/index.ts'
import { integerAt } from './connection.ts'
import { isFull } from './sqlite-errors.ts'

/**
 * The thread that moves pages from the write-ahead log into the database file. It has a connection
 * of its own and folds when it is told to; it answers with the frames that are in the log and those
 * that are in the file as well, or with what went wrong.
 */
export type FoldAnswer =
  | { readonly frames: number; readonly folded: number }
  | { readonly problem: string; readonly isFull: boolean }

const file: unknown = workerData
const port = parentPort
if (port !== null && typeof file === 'string') {
  const db = new DatabaseSync(file)
  // Nobody waits: what is busy now is folded the next time. The engine syncs log and file itself.
  db.exec('PRAGMA busy_timeout = 0; PRAGMA synchronous = NORMAL; PRAGMA checkpoint_fullfsync = ON')
  const fold = db.prepare('PRAGMA wal_checkpoint(PASSIVE)')
  fold.setReturnArrays(true)
  port.on('message', () => port.postMessage(answerOf(() => fold.get())))
}

function answerOf(fold: () => unknown): FoldAnswer {
  try {
    const row = fold()
    if (!Array.isArray(row)) return { problem: 'the engine said nothing of it', isFull: false }
    return { frames: integerAt(row, 1), folded: integerAt(row, 2) }
  } catch (error) {
    return { problem: messageOf(error), isFull: isFull(error) }
  }
}
