/** The headers of one request by lower-case name; a header that came twice is a list. */
export interface RequestHeaders {
  readonly lookup: (name: string) => string | readonly string[] | undefined
  /** The value, when it came exactly once. */
  single(name: string): string | undefined
  readonly count: number
  readonly bytes: number
  entries(): Iterable<readonly [string, string]>
}

/** @param raw Name, value, name, value …, as the listener read them. */
export const readHeaders = (raw: readonly string[]): RequestHeaders => {
  const values = new Map<string, string | string[]>()
  let bytes = 0
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = (raw[index] ?? '').toLowerCase()
    const value = raw[index + 1] ?? ''
    bytes += name.length + value.length + 4
    const known = values.get(name)
    if (known === undefined) values.set(name, value)
    else if (typeof known === 'string') values.set(name, [known, value])
    else known.push(value)
  }
  return {
    lookup: (name) => values.get(name),
    single: (name) => {
      const value = values.get(name)
      return typeof value === 'string' ? value : undefined
    },
    count: raw.length / 2,
    bytes,
    *entries() {
      for (let index = 0; index + 1 < raw.length; index += 2) {
        yield [raw[index] ?? '', raw[index + 1] ?? '']
      }
    },
  }
}
