import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs'
import { PAGE_BYTES } from './connection.ts'
import { APPLICATION_ID, STORE_FORMAT } from './format.ts'

/**
 * Writes the first hundred bytes of a database anew: in our files they are constants, or can be
 * counted, so damage there costs nothing. The list of free pages is given up, which a copy that is
 * only read does not need.
 *
 * @see https://www.sqlite.org/fileformat2.html section 1.3, the database header.
 */
export const mendHeader = (file: string): void => {
  const descriptor = openSync(file, 'r+')
  try {
    const header = Buffer.alloc(HEADER_BYTES)
    readSync(descriptor, header, 0, HEADER_BYTES, 0)
    header.write('SQLite format 3\0', 0, 'latin1')
    header.writeUInt16BE(PAGE_BYTES, 16)
    // Write-ahead log for writing and reading; no bytes reserved; fixed payload fractions.
    header.set([2, 2, 0, 64, 32, 32], 18)
    header.writeUInt32BE(1, 24)
    header.writeUInt32BE(Math.floor(fstatSync(descriptor).size / PAGE_BYTES), 28)
    header.fill(0, 32, 40)
    header.writeUInt32BE(SCHEMA_FORMAT, 44)
    header.fill(0, 48, 56)
    header.writeUInt32BE(ENCODING_UTF8, 56)
    header.writeUInt32BE(STORE_FORMAT, 60)
    header.writeUInt32BE(0, 64)
    header.writeUInt32BE(APPLICATION_ID, 68)
    header.fill(0, 72, 92)
    // The count above holds for the change counter written here.
    header.writeUInt32BE(1, 92)
    writeSync(descriptor, header, 0, HEADER_BYTES, 0)
  } finally {
    closeSync(descriptor)
  }
}

const HEADER_BYTES = 100
const SCHEMA_FORMAT = 4
const ENCODING_UTF8 = 1
