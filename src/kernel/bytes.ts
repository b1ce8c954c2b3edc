const encoder = new TextEncoder()
const strictDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export const utf8 = (text: string): Uint8Array => encoder.encode(text)

/** The text, or undefined when the bytes are not valid UTF-8. A byte order mark is kept. */
export const decodeUtf8 = (bytes: Uint8Array): string | undefined => {
  try {
    return strictDecoder.decode(bytes)
  } catch {
    return undefined
  }
}

export const utf8Length = (text: string): number => Buffer.byteLength(text, 'utf8')

export const toHex = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')

export const toBase64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')

export const fromBase64 = (text: string): Uint8Array => Buffer.from(text, 'base64')
