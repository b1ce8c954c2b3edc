import { describe, expect, it } from 'vitest'
import { JuncturaError } from '../../kernel/index.ts'
import { isConflict, isEngineFailure, storeErrorOf, unknownCommit } from './postgres-errors.ts'
import { loadPg } from './session.ts'

/** As the server answers: with a severity and a code of five characters. */
const answer = (code: string): Error =>
  Object.assign(new Error(`answer ${code}`), { severity: 'ERROR', code })

/** As Node says it when the connection breaks. */
const broken = (code: string): Error => Object.assign(new Error(`broken ${code}`), { code })

describe('storeErrorOf', () => {
  it('knows a full disk, which may have room again later (F20)', () => {
    expect(storeErrorOf(answer('53100'), 's').code).toBe('JUNCTURA_STORE_FULL')
  })

  it('knows damaged data', () => {
    expect(storeErrorOf(answer('XX001'), 's').code).toBe('JUNCTURA_STORE_DAMAGED')
    expect(storeErrorOf(answer('XX002'), 's').code).toBe('JUNCTURA_STORE_DAMAGED')
  })

  it('takes everything else, also a broken connection, for a commit that was not taken', () => {
    for (const error of [answer('23505'), answer('40001'), broken('ECONNRESET'), 'thrown text']) {
      const failed = storeErrorOf(error, 's')
      expect(failed.code).toBe('JUNCTURA_STORE_FAILED')
      expect(failed.cause).toBe(error)
    }
  })

  it('keeps an error that has its code', () => {
    const unknown = unknownCommit(broken('EPIPE'))
    expect(unknown.code).toBe('JUNCTURA_STORE_UNKNOWN')
    expect(storeErrorOf(unknown, 's')).toBe(unknown)
  })
})

describe('isEngineFailure', () => {
  it('tells the trouble of the server from a statement at fault', () => {
    const troubles = ['53100', '53200', '57P01', '58030', 'XX000', '08006'].map(answer)
    for (const error of [...troubles, broken('EPIPE'), broken('ECONNRESET'), new Error('ended')]) {
      expect(isEngineFailure(error)).toBe(true)
    }
    const faults = ['23505', '42601', '22P02', '40P01', '55P03', '57014'].map(answer)
    for (const error of [...faults, new JuncturaError('JUNCTURA_TX_OVER')]) {
      expect(isEngineFailure(error)).toBe(false)
    }
  })
})

describe('isConflict', () => {
  it('is a deadlock or a serialisation failure, and nothing else', () => {
    expect([answer('40P01'), answer('40001')].every(isConflict)).toBe(true)
    expect([answer('40002'), broken('40001'), new Error('x')].some(isConflict)).toBe(false)
  })
})

describe('loadPg', () => {
  it('names the package that is missing', async () => {
    const load = () => Promise.reject(broken('ERR_MODULE_NOT_FOUND'))
    await expect(loadPg(load)).rejects.toMatchObject({
      code: 'JUNCTURA_PEER_MISSING',
      details: { package: 'pg' },
    })
  })

  it('does not hide why a package that is there fails to load', async () => {
    const reason = new SyntaxError('not a module')
    await expect(loadPg(() => Promise.reject(reason))).rejects.toBe(reason)
  })
})
