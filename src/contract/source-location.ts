/** Where a declaration stands in the user's files. */
export interface SourceLocation {
  readonly file: string
  readonly line: number
}

const OWN_FOLDER = new URL('.', import.meta.url).href

/** The first frame outside this room: the line that called `event`, `webhook`, `consumer` … */
export const callerLocation = (): SourceLocation => {
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = 12
  const stack = new Error('location').stack ?? ''
  Error.stackTraceLimit = limit
  for (const line of stack.split('\n').slice(1)) {
    const match = /\(?((?:file:\/\/)?\/[^():]+|file:\/\/\/[A-Za-z]:[^():]+):(\d+):\d+\)?$/.exec(
      line,
    )
    if (!match?.[1] || match[1].startsWith(OWN_FOLDER)) continue
    if (match[1].startsWith(OWN_FOLDER.replace('file://', ''))) continue
    return { file: match[1].replace(/^file:\/\//, ''), line: Number(match[2]) }
  }
  return { file: 'unknown', line: 0 }
}

export const formatLocation = (at: SourceLocation): string => `${at.file}:${at.line}`
