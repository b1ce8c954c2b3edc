// What happens inside, while it happens: one line of counts, and a line for whatever stands out.
import type { RuntimeEvent } from 'junctura'

export interface LiveView {
  show(event: RuntimeEvent): void
  close(): void
}

const REDRAW_MS = 100
const PRINT_MS = 1_000

/**
 * A terminal, which has `columns`, gets its line of counts redrawn; anything else gets a new line
 * each second.
 */
export const createLiveView = (write: (text: string) => void, columns?: number): LiveView => {
  const startMs = performance.now()
  const border = { accepted: 0, repeated: 0, refused: 0, invalid: 0 }
  const done = new Map<string, number>()
  let shown = ''
  const clearLine = columns === undefined ? '' : '\r\u001B[K'
  const seconds = (): string => `${((performance.now() - startMs) / 1000).toFixed(1)} s`.padStart(7)

  const drawCounts = (): void => {
    const inside = [...done].map(([consumer, count]) => `${consumer} ${count}`).join('  ')
    const { accepted, repeated, refused, invalid } = border
    const text =
      `accepted ${accepted}  repeated ${repeated}  refused ${refused}  invalid ${invalid}` +
      `  | done: ${inside}`
    if (text === shown) return
    shown = text
    const line = `${seconds()}  ${text}`
    // A line that wraps could not be redrawn.
    write(columns === undefined ? `${line}\n` : clearLine + line.slice(0, columns - 1))
  }
  const tell = (text: string): void => {
    write(`${clearLine}${seconds()}  ${text}\n`)
    shown = ''
  }
  const timer = setInterval(drawCounts, columns === undefined ? PRINT_MS : REDRAW_MS)

  return {
    show(event) {
      const special = describe(event)
      if (special !== undefined) tell(special)
      if (event.kind === 'accepted') border.accepted++
      else if (event.kind === 'duplicate') border.repeated++
      else if (event.kind === 'refused') border.refused++
      else if (event.kind === 'invalid') border.invalid++
      else if (event.kind === 'attempt' && event.outcome === 'done') {
        done.set(event.consumer, (done.get(event.consumer) ?? 0) + 1)
      }
    },
    close() {
      clearInterval(timer)
      drawCounts()
      if (columns !== undefined) write('\n')
    },
  }
}

/** What a reader should see by itself; the rest is only counted. */
function describe(event: RuntimeEvent): string | undefined {
  if (event.kind === 'refused') return `refused with ${event.status}: ${event.code}`
  if (event.kind === 'invalid') return `kept as invalid: ${event.reason}`
  if (event.kind === 'attempt' && event.outcome !== 'done') {
    const { consumer, attempt, key, error } = event
    return `${consumer}, attempt ${attempt} of ${key} failed: ${error ?? event.outcome}`
  }
  if (event.kind === 'dead-letter') return `${event.consumer} gave up a message of ${event.key}`
  if (event.kind === 'alert') return `alert, ${event.state}: ${event.title} (${event.count})`
  return undefined
}
