import type { Transform } from 'node:stream'
import {
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createZstdDecompress,
} from 'node:zlib'
import { LIMITS } from '../kernel/index.ts'

export type Decompressed =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'too-large' }
  /** A wrong checksum, an early end, or something after the end. */
  | { readonly kind: 'damaged' }

export type ContentEncoding = 'gzip' | 'x-gzip' | 'deflate' | 'br' | 'zstd'

const DECODERS: Readonly<Record<ContentEncoding, () => Transform & { bytesWritten: number }>> = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
  zstd: createZstdDecompress,
}

export const CONTENT_ENCODINGS: readonly string[] = ['gzip', 'deflate', 'br', 'zstd']

/**
 * The encoding of a body: `identity` for none, undefined for one that is not taken. Encodings on
 * top of each other are not taken: nobody needs them, and each level multiplies a bomb (F46).
 */
export const readContentEncoding = (
  value: string | readonly string[] | undefined,
): ContentEncoding | 'identity' | undefined => {
  if (value === undefined) return 'identity'
  if (typeof value !== 'string') return undefined
  const name = value.trim().toLowerCase()
  if (name === '' || name === 'identity') return 'identity'
  return isEncoding(name) ? name : undefined
}

const isEncoding = (name: string): name is ContentEncoding => Object.hasOwn(DECODERS, name)

/**
 * Decompresses a body, and stops as soon as it grows beyond `bytesMax`, or beyond what an honest
 * text shrinks to: LIMITS.inflateRatioMax, with LIMITS.inflateFloorBytes allowed to all.
 */
export const decompressBody = (
  bytes: Uint8Array,
  encoding: ContentEncoding,
  bytesMax: number,
): Promise<Decompressed> =>
  new Promise((resolve) => {
    const honestMax = Math.max(LIMITS.inflateFloorBytes, bytes.length * LIMITS.inflateRatioMax)
    const maximum = Math.min(bytesMax, honestMax)
    const decoder = DECODERS[encoding]()
    const chunks: Buffer[] = []
    let size = 0
    decoder.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size > maximum) {
        resolve({ kind: 'too-large' })
        decoder.destroy()
      } else chunks.push(chunk)
    })
    decoder.on('error', () => resolve({ kind: 'damaged' }))
    decoder.on('end', () => {
      const isWhole = decoder.bytesWritten === bytes.length
      resolve(isWhole ? { kind: 'bytes', bytes: Buffer.concat(chunks) } : { kind: 'damaged' })
    })
    decoder.end(bytes)
  })
