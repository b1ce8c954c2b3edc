import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isJuncturaError, LIMITS } from '../kernel/index.ts'
import { resolvePush } from '../contract/index.ts'
import { judgeReply, retryAfterMs } from './judge-reply.ts'

const NOW_MS = Date.UTC(2026, 0, 1)

describe('Retry-After', () => {
  it.each([
    [undefined, undefined],
    ['', undefined],
    ['0', 0],
    ['120', 120_000],
    [' 7 ', 7_000],
    ['-1', undefined],
    ['1.5', undefined],
    ['9999999999', undefined],
    ['soon', undefined],
    ['Thu, 01 Jan 2026 00:01:00 GMT', 60_000],
    ['Wed, 31 Dec 2025 23:59:00 GMT', 0],
    ['2026-01-01', undefined],
  ])('%j is %s ms', (value, ms) => {
    expect(retryAfterMs(value, NOW_MS)).toBe(ms)
  })
})

describe('what a receiver answers', () => {
  const push = resolvePush({ url: 'http://a.internal/' }, 'push', 30_000)

  const options = { nowMs: NOW_MS, mask: (text: string): string => text }

  it('is told without the personal data of the message, also where it is cut', () => {
    const name = 'Ada Lovelace of London'
    const body = Buffer.from(`${'x'.repeat(LIMITS.pushAnswerCharsMax - 8)}${name}`)
    const reply = { status: 500, headers: {}, body, isCut: false }
    const mask = (text: string): string => text.replaceAll(name, '•••')

    expect(() => judgeReply(push, reply, { ...options, mask })).toThrow(/x•••”/)
    expect(() => judgeReply(push, reply, { ...options, mask })).not.toThrow(/Ada/)
  })

  it('is done, tried again or refused, whatever it is', () => {
    const reply = fc.record({
      status: fc.integer({ min: 100, max: 599 }),
      headers: fc.dictionary(fc.constantFrom('retry-after', 'content-type', 'x'), fc.string()),
      body: fc.uint8Array(),
      isCut: fc.boolean(),
    })
    fc.assert(
      fc.property(reply, (one) => {
        const isDone = one.status >= 200 && one.status < 300
        try {
          expect(judgeReply(push, one, options)).toEqual([])
          expect(isDone).toBe(true)
        } catch (error) {
          const isForGood =
            one.status >= 400 && one.status < 500 && ![408, 425, 429].includes(one.status)
          const code = isForGood ? 'JUNCTURA_PUSH_REFUSED' : 'JUNCTURA_PUSH_FAILED'
          expect(isDone).toBe(false)
          expect(isJuncturaError(error, code)).toBe(true)
        }
      }),
    )
  })
})
