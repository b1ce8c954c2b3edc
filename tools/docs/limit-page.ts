import { formatDuration } from '../../src/kernel/index.ts'
import { GENERATED, tableCell, withoutNumbers } from './page-text.ts'

/** One row for each limit, with the reason that stands above it in the source. */
export const renderLimitPage = (
  limits: Readonly<Record<string, number>>,
  source: string,
): string => {
  const reasons = readReasons(source)
  const lines = [
    '# Limits',
    '',
    GENERATED,
    '',
    'Everything that could grow has a maximum, and each maximum prevents a failure. A limit that a',
    'declaration can change is the default there; see [declarations](declarations.md). The others are',
    'fixed. What happens at a limit is said in the row, or is the error of the same name in',
    '[errors](errors.md).',
    '',
    '| Limit | Value | Why |',
    '|---|---|---|',
    ...Object.entries(limits).map(
      ([name, value]) =>
        `| \`${name}\` | ${shownValue(name, value)} | ${tableCell(reasons.get(name) ?? '')} |`,
    ),
  ]
  return `${lines.join('\n')}\n`
}

/** The comment above a limit speaks for all limits up to the next comment. */
export const readReasons = (source: string): ReadonlyMap<string, string> => {
  const reasons = new Map<string, string>()
  let reason = ''
  for (const match of source.matchAll(/\/\*\*([^]*?)\*\/|^ {2}(\w+):/gm)) {
    const [, comment, name] = match
    if (comment !== undefined) reason = withoutNumbers(comment.replace(/\n\s*\*\s?/g, ' ').trim())
    else if (name !== undefined) reasons.set(name, reason)
  }
  return reasons
}

const MIB = 1_048_576
const KIB = 1_024

function shownValue(name: string, value: number): string {
  const plain = value.toLocaleString('en').replaceAll(',', ' ')
  if (/Ms(Max)?$/.test(name)) return formatDuration(value)
  if (!/Bytes/.test(name)) return plain
  if (value % MIB === 0) return `${value / MIB} MiB`
  return value % KIB === 0 ? `${value / KIB} KiB` : `${plain} bytes`
}
