/**
 * A value of an index field as bytes whose order is the order of the values: numbers before text,
 * numbers by size, text by its UTF-8 bytes. Bytes, because the text type of PostgreSQL cannot hold
 * the character NUL, which a partner's key may, and sorts by the collation of the database.
 */
export const fieldOrder = (value: string | number): Uint8Array =>
  typeof value === 'number' ? numberOrder(value) : textOrder(value)

const NUMBER = 1
const TEXT = 2

/** The bits of a double sort like its value once negative ones are inverted. */
function numberOrder(value: number): Uint8Array {
  const bytes = Buffer.alloc(9)
  bytes[0] = NUMBER
  // 0 and -0 are one value.
  bytes.writeDoubleBE(value === 0 ? 0 : value, 1)
  const negative = ((bytes[1] ?? 0) & 0x80) !== 0
  if (!negative) bytes[1] = (bytes[1] ?? 0) ^ 0x80
  else for (let at = 1; at < 9; at++) bytes[at] = (bytes[at] ?? 0) ^ 0xff
  return bytes
}

function textOrder(value: string): Uint8Array {
  return Buffer.concat([Buffer.of(TEXT), Buffer.from(value, 'utf8')])
}

/** The key of a row: it is always text, so its bytes are enough. */
export const keyOrder = (key: string): Uint8Array => Buffer.from(key, 'utf8')

export const keyOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8')
