import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { github, hmac, secret, standardWebhooks, stripe, unsigned } from '../contract/index.ts'
import { createSeededRandom, isJuncturaError, LIMITS, utf8 } from '../kernel/index.ts'
import { createVirtualKernel } from '../testing/index.ts'
import { generateKeyPair, generateSecret } from './generate-secret.ts'
import { resolveSecrets, resolveSecretText } from './resolve-secrets.ts'

const OLD = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
const NEW = 'whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD'
const pair = generateKeyPair(createSeededRandom(3))
const reference = secret.env('ACME_SECRET')
const scheme = standardWebhooks({ secret: reference })

const withEnv = (value: string): ReturnType<typeof createVirtualKernel> =>
  createVirtualKernel({ env: { ACME_SECRET: value } })

const withFile = (bytes: Uint8Array): ReturnType<typeof createVirtualKernel> =>
  createVirtualKernel({ files: { '/secrets/acme': bytes } })

const base64 = (bytes: number): string => Buffer.alloc(bytes, 0xa5).toString('base64')

describe('a start without a usable secret fails closed (W1, F117)', () => {
  test('an unset variable is named, with what to do', async () => {
    const attempt = resolveSecrets(createVirtualKernel(), scheme)

    await expect(attempt).rejects.toMatchObject({
      code: 'JUNCTURA_SECRET_MISSING',
      message: 'The secret in ACME_SECRET is missing: the environment variable is not set',
      advice: expect.stringContaining('Set it'),
    })
  })

  test.each(['', ' ', '\n\n'])(
    'an empty variable %j is missing, development value or not',
    async (value) => {
      const withFallback = standardWebhooks({
        secret: secret.env('ACME_SECRET', { development: OLD }),
      })

      for (const of of [scheme, withFallback]) {
        await expect(resolveSecrets(withEnv(value), of)).rejects.toMatchObject({
          code: 'JUNCTURA_SECRET_MISSING',
        })
      }
    },
  )

  test.each([
    ['absent', createVirtualKernel()],
    ['empty', withFile(utf8('\n'))],
    ['not text', withFile(Uint8Array.of(0xff, 0xfe))],
    ['too large', withFile(new Uint8Array(LIMITS.secretSourceBytesMax + 1).fill(0x61))],
  ])('a file that is %s is missing', async (_, kernel) => {
    const fromFile = standardWebhooks({ secret: secret.file('/secrets/acme') })

    await expect(resolveSecrets(kernel, fromFile)).rejects.toMatchObject({
      code: 'JUNCTURA_SECRET_MISSING',
      details: { source: '/secrets/acme' },
    })
  })

  test.each([
    ['JUNCTURA_SECRET_WEAK', `whsec_${base64(23)}`],
    ['JUNCTURA_SECRET_WEAK', base64(1)],
    ['JUNCTURA_SECRET_WEAK', `${OLD} ${base64(8)}`],
    ['JUNCTURA_SECRET_INVALID', 'whsec_'],
    ['JUNCTURA_SECRET_INVALID', 'whsec_not*base64*at*all*at*all'],
    ['JUNCTURA_SECRET_INVALID', `"${OLD}"`],
    ['JUNCTURA_SECRET_INVALID', `whpk_${base64(31)}`],
    ['JUNCTURA_SECRET_INVALID', `whsk_${base64(33)}`],
    ['JUNCTURA_SECRET_INVALID', `whsk_${base64(64)}`],
    [
      'JUNCTURA_SECRET_INVALID',
      Array.from({ length: LIMITS.secretsMax + 1 }, (_, at) => base64(24 + at)).join(' '),
    ],
  ])('%s: %j, and the error does not repeat the secret', async (code, value) => {
    const thrown = await resolveSecrets(withEnv(value), scheme).catch((error: unknown) => error)

    expect(thrown).toMatchObject({ code })
    const shown = inspect(thrown, { depth: 9 })
    for (const text of value.split(' ')) {
      if (text.length > 6) expect(shown).not.toContain(text.slice(6))
    }
    expect(isJuncturaError(thrown) && thrown.details['source']).toBe('ACME_SECRET')
  })

  test('a verbatim secret is measured in bytes, and a partner that hands out short ones is declared', async () => {
    const short = withEnv('only-twelve!')

    await expect(resolveSecrets(short, stripe({ secret: reference }))).rejects.toMatchObject({
      code: 'JUNCTURA_SECRET_WEAK',
      details: { bytes: 12, bytesMin: 24 },
    })
    const lowered = hmac({ secret: reference, header: 'x-mac', secretBytesMin: 12 })
    expect((await resolveSecrets(short, lowered)).keys).toHaveLength(1)
  })
})

describe('secrets that are there', () => {
  test('come from several references and several in one value, in order, each once', async () => {
    const kernel = createVirtualKernel({
      env: { ACME_SECRET: `${NEW}\n${OLD} ${NEW}` },
      files: { '/secrets/acme': utf8(`${pair.publicKey}\n`) },
    })
    const both = standardWebhooks({ secret: [reference, secret.file('/secrets/acme')] })

    const { keys, developmentValues } = await resolveSecrets(kernel, both)

    expect(keys.map((key) => [key.use, key.source])).toEqual([
      ['hmac', 'ACME_SECRET'],
      ['hmac', 'ACME_SECRET'],
      ['ed25519', '/secrets/acme'],
    ])
    expect(developmentValues).toEqual([])
  })

  test('may be passphrases with spaces where the scheme takes them as written', async () => {
    const kernel = withEnv("It's a Secret to Everybody\nIt's the Second of the Secrets\n")

    expect((await resolveSecrets(kernel, github({ secret: reference }))).keys).toHaveLength(2)
  })

  test('show nothing of themselves when a key is printed (F117)', async () => {
    const { keys } = await resolveSecrets(withEnv(`${OLD} ${pair.privateKey}`), scheme)
    const shown = JSON.stringify(keys) + inspect(keys, { depth: 9, showHidden: true })

    expect(keys).toHaveLength(2)
    for (const text of [OLD, pair.privateKey]) {
      const raw = Buffer.from(text.slice(6), 'base64')
      expect(shown).not.toContain(text.slice(6, 30))
      expect(shown).not.toContain(raw.toString('hex').slice(0, 24))
    }
  })

  test('are none for an unsigned scheme', async () => {
    const open = unsigned({ reason: 'a sensor' })

    expect(await resolveSecrets(createVirtualKernel(), open)).toEqual({
      keys: [],
      developmentValues: [],
    })
  })

  test('are read as text where no signature is meant', async () => {
    expect(await resolveSecretText(withEnv(' token \n'), reference)).toBe('token')
    await expect(resolveSecretText(withEnv(' '), reference)).rejects.toMatchObject({
      code: 'JUNCTURA_SECRET_MISSING',
    })
  })
})

describe('a development value', () => {
  const withFallback = standardWebhooks({ secret: secret.env('ACME_SECRET', { development: OLD }) })

  test('stands in for an unset variable and is reported, so that it can be printed', async () => {
    const resolved = await resolveSecrets(createVirtualKernel(), withFallback)

    expect(resolved.keys).toHaveLength(1)
    expect(resolved.developmentValues).toEqual([{ source: 'ACME_SECRET', value: OLD }])
  })

  test('gives way to the real value', async () => {
    expect((await resolveSecrets(withEnv(NEW), withFallback)).developmentValues).toEqual([])
  })

  test('is refused in production', async () => {
    const kernel = createVirtualKernel({ env: { NODE_ENV: 'production' } })

    await expect(resolveSecrets(kernel, withFallback)).rejects.toMatchObject({
      code: 'JUNCTURA_SECRET_MISSING',
      message: expect.stringContaining('refused in production'),
    })
  })
})

test('a generated secret is strong enough for its own scheme and new each time', async () => {
  const random = createSeededRandom(11)
  const [first, second] = [generateSecret(random), generateSecret(random)]

  expect(first).not.toBe(second)
  expect((await resolveSecrets(withEnv(`${first} ${second}`), scheme)).keys).toHaveLength(2)
})
