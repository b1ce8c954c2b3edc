import { describe, expect, test } from 'vitest'
import { secret } from './secret.ts'
import {
  github,
  hmac,
  type HmacOptions,
  standardWebhooks,
  stripe,
  unsigned,
} from './scheme-presets.ts'

const from = secret.env('PARTNER_SECRET', { development: 'development-value-of-the-partner' })

const refusal = (problem: string): unknown =>
  expect.objectContaining({
    code: 'JUNCTURA_DECLARATION',
    message: expect.stringContaining(problem),
  })

describe('a signature scheme', () => {
  test.each<[string, Partial<HmacOptions>]>([
    ['the body must be signed once', { signed: '{timestamp}', timestamp: { header: 'x-time' } }],
    ['the body must be signed once', { signed: '{body}{body}' }],
    ['a timestamp must be sent and signed', { timestamp: { header: 'x-time' } }],
    ['a timestamp must be sent and signed', { signed: '{timestamp}.{body}' }],
    ['no header carries it', { signed: '{id}.{body}' }],
    ['runs into its neighbour', { signed: '{id}{body}', id: { header: 'x-id' } }],
    ['is not the name of a header', { header: 'x signature' }],
    ['is not the name of a header', { header: '' }],
    ['is too low', { secretBytesMin: 7 }],
    ['is not a duration', { tolerance: { past: -1 } }],
    ['above 24h', { tolerance: '25h' }],
    ['does not tell the sender', { answer: { accepted: 302 } }],
  ])('is refused when %s', (problem, options) => {
    expect(() => hmac({ secret: from, header: 'x-signature', ...options })).toThrow(
      refusal(problem),
    )
  })

  test.each(['', '   '])('without verification needs a written reason, not %j (W1)', (reason) => {
    expect(() => unsigned({ reason })).toThrow(refusal('without a reason'))
    // @ts-expect-error -- what plain JavaScript may pass
    expect(() => unsigned()).toThrow(refusal('without a reason'))
  })

  test('is data: it survives JSON, and no development value is in it', () => {
    for (const scheme of [
      standardWebhooks({ secret: from }),
      stripe({ secret: from }),
      github({ secret: from }),
      hmac({ secret: [from, secret.file('/run/secrets/old')], header: 'X-Signature' }),
      unsigned({ reason: 'the sender is a thermometer' }),
    ]) {
      const json = JSON.stringify(scheme)

      expect(JSON.parse(json)).toEqual(scheme)
      expect(json).not.toContain('development-value')
    }
  })

  test('takes five minutes of tolerance both ways, or each way apart', () => {
    const pastAndFuture = (tolerance: HmacOptions['tolerance']): unknown =>
      standardWebhooks({ secret: from, ...(tolerance === undefined ? {} : { tolerance }) })
        .tolerance

    expect(pastAndFuture(undefined)).toEqual({ pastMs: 300_000, futureMs: 300_000 })
    expect(pastAndFuture('1m')).toEqual({ pastMs: 60_000, futureMs: 60_000 })
    expect(pastAndFuture({ past: '1h' })).toEqual({ pastMs: 3_600_000, futureMs: 300_000 })
  })

  test('says what stops a replay and whether its id can be believed (W9)', () => {
    expect(standardWebhooks({ secret: from })).toMatchObject({
      replayProtection: 'timestamp',
      messageId: 'signed',
    })
    expect(stripe({ secret: from })).toMatchObject({
      replayProtection: 'timestamp',
      messageId: 'none',
    })
    expect(github({ secret: from })).toMatchObject({
      replayProtection: 'dedupe',
      messageId: 'unsigned',
    })
  })

  test('answers 202 and 200 unless the sender expects another success', () => {
    expect(stripe({ secret: from }).answer).toEqual({ accepted: 202, duplicate: 200 })
    expect(github({ secret: from, answer: { accepted: 200 } }).answer).toEqual({
      accepted: 200,
      duplicate: 200,
    })
  })

  test('keeps the characters beside the id out of the id (W11)', () => {
    const scheme = hmac({
      secret: from,
      header: 'x-signature',
      signed: 'v0:{timestamp}:{id}|{body}',
      timestamp: { header: 'x-time' },
      id: { header: 'x-id' },
    })

    expect(scheme.messageIdExcludes).toBe(':|')
    expect(standardWebhooks({ secret: from }).messageIdExcludes).toBe('.')
  })
})
