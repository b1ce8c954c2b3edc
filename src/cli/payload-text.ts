import { escapeControl } from '../security/index.ts'

const PAYLOAD_LINES_MAX = 200

/** A masked payload, indented; what could move the cursor of a terminal is escaped (F56). */
export const renderPayload = (payload: unknown): string => {
  const text = JSON.stringify(payload, undefined, 2) ?? '(nothing)'
  const lines = text.split('\n')
  const shown = lines.slice(0, PAYLOAD_LINES_MAX).map(escapeControl)
  const left = lines.length - shown.length
  return [...shown, ...(left > 0 ? [`… ${left} more lines; --json has all of them`] : [])].join(
    '\n',
  )
}
