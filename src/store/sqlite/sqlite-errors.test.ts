import { describe, expect, it } from 'vitest'
import { JuncturaError } from '../../kernel/index.ts'
import { isEngineFailure, storeErrorOf } from './sqlite-errors.ts'

/** As the engine throws: the extended result code holds the primary one in its low byte. */
const engineError = (errcode: number): Error =>
  Object.assign(new RangeError('the engine says so'), { code: 'ERR_SQLITE_ERROR', errcode })

describe('storeErrorOf', () => {
  it.each([
    ['a full disk', 13, 'commit', 'JUNCTURA_STORE_FULL'],
    ['a full disk while writing', 13, 'write', 'JUNCTURA_STORE_FULL'],
    ['a failed fsync of a commit (F21)', 1034, 'commit', 'JUNCTURA_STORE_UNKNOWN'],
    ['a failed write of a commit', 778, 'commit', 'JUNCTURA_STORE_UNKNOWN'],
    ['a failed write before the commit', 778, 'write', 'JUNCTURA_STORE_FAILED'],
    ['a damaged page', 11, 'read', 'JUNCTURA_STORE_DAMAGED'],
    ['a damaged index', 779, 'commit', 'JUNCTURA_STORE_DAMAGED'],
    ['a file that is no database', 26, 'write', 'JUNCTURA_STORE_DAMAGED'],
    ['another writer', 5, 'write', 'JUNCTURA_STORE_FAILED'],
    ['a read-only file system (F26)', 8, 'write', 'JUNCTURA_STORE_FAILED'],
  ] as const)('says what %s means', (_, errcode, phase, code) => {
    const cause = engineError(errcode)

    const error = storeErrorOf(cause, '/data/junctura.db', phase)

    expect(error.code).toBe(code)
    expect(error.details).toMatchObject({ file: '/data/junctura.db' })
    expect(error.cause).toBe(cause)
  })

  it('leaves an error of ours as it is', () => {
    const error = new JuncturaError('JUNCTURA_MIGRATION_CHANGED')

    expect(storeErrorOf(error, 'x', 'write')).toBe(error)
  })
})

describe('isEngineFailure', () => {
  it('is false for what the statement itself did wrong', () => {
    const callers = [1, 18, 19, 20, 25, 1555, 2067].map(engineError)

    expect(callers.map(isEngineFailure)).not.toContain(true)
    expect(isEngineFailure(new TypeError('no such thing'))).toBe(false)
  })

  it('is true for what the disk or the engine did', () => {
    expect([5, 7, 10, 11, 13, 26, 778].map(engineError).map(isEngineFailure)).not.toContain(false)
  })
})
