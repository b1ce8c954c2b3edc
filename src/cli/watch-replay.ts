import { sleep } from '../kernel/index.ts'
import type { ReplayView, ReplayWait } from '../runtime/index.ts'
import type { Session } from './command-context.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import { formatTime } from './human-time.ts'
import { renderProgress } from './progress-bar.ts'
import { renderFacts } from './table.ts'

const POLL_MS = 500
/** On a pipe a line each time something has changed is enough, and not more often than this. */
const LINE_MS = 5_000

/**
 * Shows a replay until it ends or a person stops looking; the replay itself goes on.
 *
 * A bar on a terminal, plain lines on a pipe, one object at the end under `--json`.
 */
export const watchReplay = async (session: Session, id: string): Promise<ExitCode> => {
  const { io, out, client } = session
  const { clock } = io.kernel
  const abort = new AbortController()
  const stopListening = io.onSignal(() => abort.abort())
  const bar = io.stderr.isTerminal && !out.json
  const startedMs = clock.monotonicMs()
  let lastLineMs = Number.NEGATIVE_INFINITY
  try {
    for (;;) {
      const row = await client.get<ReplayView>(replayPath(id))
      const elapsedMs = clock.monotonicMs() - startedMs
      const done = row.released + row.skipped + row.failed
      const text = renderProgress({ done, total: row.total, elapsedMs })
      if (bar) io.stderr.write(`\r\u001b[2K${text}`)
      else if (elapsedMs - lastLineMs >= LINE_MS) {
        out.note(text)
        lastLineMs = elapsedMs
      }
      if (row.state !== 'running' || abort.signal.aborted) {
        if (bar) io.stderr.write('\n')
        out.result('replay', { item: row }, () => renderReplay(row, session))
        return row.state === 'running' ? EXIT.interrupted : exitCodeOfReplay(row)
      }
      await sleep(clock, POLL_MS, abort.signal)
    }
  } finally {
    stopListening()
  }
}

/** Findings when it failed, was aborted, or some of its messages failed again. */
export const exitCodeOfReplay = (row: ReplayView): ExitCode =>
  row.state === 'failed' || row.state === 'aborted' || row.failed > 0 ? EXIT.findings : EXIT.ok

export const replayPath = (id: string): string => `/api/v1/replays/${encodeURIComponent(id)}`

export const renderReplay = (row: ReplayView, { out }: Session): string =>
  renderFacts(
    [
      ['replay', row.id],
      ['state', row.state],
      ['released', `${row.released} of ${row.total}`],
      ['skipped', `${row.skipped} (done before)`],
      ['failed', row.failed],
      ['by', `${row.actor}: ${row.reason}`],
      ['made', formatTime(row.createdAtMs)],
      ['ended', row.finishedAtMs === undefined ? undefined : formatTime(row.finishedAtMs)],
      ...(row.waitsFor ?? []).map((wait) => ['waits for', describeWait(wait)] as const),
    ],
    out.paint,
  )

const describeWait = ({ consumer, key, sinceMs, because, deadLetter }: ReplayWait): string =>
  `key ${key} of ${consumer}, parked since ${formatTime(sinceMs)}: ${because}` +
  (deadLetter === null ? '' : ` (junctura dlq show ${deadLetter})`)
