import { endianness } from 'node:os'
import { crc32 } from 'node:zlib'
import { ENTRY_WORDS } from '../key-entry.ts'
import { bytesAt, type Connection, integerAt } from './connection.ts'

/**
 * Sealed keys on disk: pages of words in one table, numbered by run. The pages of a run are its
 * sorted entries, then the offsets of its filter, then the filter's remainders. A page fills one
 * page of the database, says what it is, and has a checksum that holds only under its number.
 */
export const CLAIM_PAGES_SCHEMA = `
  CREATE TABLE junctura_claim_pages (
    id INTEGER PRIMARY KEY,
    checksum INTEGER NOT NULL,
    words BLOB NOT NULL
  );
`

/** Entries in a page: with its head and the row around it, it fills 8 KiB and no overflow page. */
export const PAGE_ENTRIES = 336
export const PAGE_WORDS: number = PAGE_ENTRIES * ENTRY_WORDS
/** Kind of page, words that follow, and the bucket in two words, low first. */
const HEAD_WORDS = 4

export type PageKind = 'entries' | 'offsets' | 'remainders'
const KINDS: readonly PageKind[] = ['entries', 'offsets', 'remainders']

export interface ClaimPage {
  readonly kind: PageKind
  readonly bucket: number
  readonly words: Uint32Array
}

/** Numbers of the pages of a run: from this up to the same of the next run. */
export const firstPageId = (run: number): number => run * RUN_PAGES
export const runOfPage = (id: number): number => Math.floor(id / RUN_PAGES)
const RUN_PAGES = 2 ** 24

export const writePage = (writer: Connection, id: number, page: ClaimPage): void => {
  const bytes = encodePage(page)
  writer.run(INSERT, id, pageChecksum(id, bytes), bytes)
}

const INSERT = 'INSERT INTO junctura_claim_pages (id, checksum, words) VALUES (?, ?, ?)'

/** The page, or undefined when it is missing or its checksum does not hold. */
export const readPage = (connection: Connection, id: number): ClaimPage | undefined => {
  const row = connection.first(SELECT, id)
  return row && decodePage(id, integerAt(row, 0), bytesAt(row, 1))
}

const SELECT = 'SELECT checksum, words FROM junctura_claim_pages WHERE id = ?'

const encodePage = ({ kind, bucket, words }: ClaimPage): Uint8Array => {
  const all = new Uint32Array(HEAD_WORDS + words.length)
  all[0] = KINDS.indexOf(kind)
  all[1] = words.length
  all[2] = bucket >>> 0
  all[3] = Math.floor(bucket / 2 ** 32)
  all.set(words, HEAD_WORDS)
  return swapped(new Uint8Array(all.buffer))
}

export const decodePage = (
  id: number,
  checksum: number,
  bytes: Uint8Array,
): ClaimPage | undefined => {
  if (bytes.length < HEAD_WORDS * 4 || pageChecksum(id, bytes) !== checksum) return undefined
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes)
  const all = new Uint32Array(swapped(aligned).buffer, aligned.byteOffset, bytes.length >> 2)
  const kind = KINDS[all[0] ?? -1]
  if (kind === undefined || all[1] !== all.length - HEAD_WORDS) return undefined
  const bucket = (all[2] ?? 0) + (all[3] ?? 0) * 2 ** 32
  return { kind, bucket, words: all.subarray(HEAD_WORDS) }
}

const pageChecksum = (id: number, bytes: Uint8Array): number =>
  crc32(bytes, (id ^ Math.imul(Math.floor(id / 2 ** 32), 0x9e3779b1)) >>> 0)

/** Words are little endian on disk, whatever the machine. */
const swapped = (bytes: Uint8Array): Uint8Array => {
  if (BIG_ENDIAN) Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).swap32()
  return bytes
}

const BIG_ENDIAN = endianness() === 'BE'
