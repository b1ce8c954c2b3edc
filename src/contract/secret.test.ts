import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { LIMITS } from '../kernel/index.ts'
import { describeSecret, secret, secretReferences } from './secret.ts'

const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'

describe('a reference to a secret', () => {
  test.each(['', 'with space', '1ST', 'a=b', SECRET, 'sk_live_abc', 'x'.repeat(200)])(
    'refuses %j as the name of a variable and does not repeat it (F117)',
    (name) => {
      const attempt = (): unknown => secret.env(name)

      expect(attempt).toThrow(expect.objectContaining({ code: 'JUNCTURA_DECLARATION' }))
      if (name.length > 10) expect(attempt).not.toThrow(name)
    },
  )

  test.each(['', 'a\0b', SECRET])('refuses %j as a path', (path) => {
    expect(() => secret.file(path)).toThrow(
      expect.objectContaining({ code: 'JUNCTURA_DECLARATION' }),
    )
  })

  test('keeps a development value out of JSON, inspection, copies and the description', () => {
    const reference = secret.env('ACME_SECRET', { development: SECRET })

    expect(reference.development).toBe(SECRET)
    const shown = [
      JSON.stringify(reference),
      inspect(reference, { depth: 9 }),
      JSON.stringify({ ...reference }),
      JSON.stringify(structuredClone(reference)),
      JSON.stringify(describeSecret(reference)),
    ]
    for (const text of shown) expect(text).not.toContain('whsec_')
  })

  test('describes itself by its source', () => {
    const fallback = secret.env('ACME_SECRET', { development: SECRET })

    expect(describeSecret(fallback)).toEqual({
      kind: 'env',
      source: 'ACME_SECRET',
      hasDevelopmentValue: true,
    })
    expect(describeSecret(secret.file('/run/secrets/acme'))).toEqual({
      kind: 'file',
      source: '/run/secrets/acme',
      hasDevelopmentValue: false,
    })
  })

  test('refuses a list that is empty, too long or holds the secret itself', () => {
    const one = secret.env('A')
    const tooMany = Array.from({ length: LIMITS.secretsMax + 1 }, () => one)

    expect(() => secretReferences([], 'secret')).toThrow('0 secrets')
    expect(() => secretReferences(tooMany, 'secret')).toThrow('6 secrets')
    for (const wrong of [SECRET, undefined, null, {}, { kind: 'env' }]) {
      // @ts-expect-error -- what plain JavaScript may pass
      expect(() => secretReferences(wrong, 'secret')).toThrow('not a reference to a secret')
    }
    expect(secretReferences([one, one], 'secret')).toEqual([one, one])
  })
})
