import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { SignatureScheme, SignedScheme } from '../contract/index.ts'
import { utf8 } from '../kernel/index.ts'
import { PATH, triedSchemes, type TriedScheme } from './scheme-signers.fixture.ts'
import { type SignedDelivery, signDelivery } from './sign-request.ts'
import type { SigningKey } from './signing-key.ts'
import { type VerificationResult, verifySignature } from './verify-signature.ts'

const NOW_MS = 1_735_689_600_000
const ID = 'msg_2Kx8fPq'

const sign = (
  { scheme, body, mediaType }: TriedScheme,
  key: SigningKey,
  timestampMs: number = NOW_MS,
): SignedDelivery =>
  signDelivery({
    scheme,
    keys: [key],
    messageId: ID,
    timestampMs,
    body,
    mediaType,
    request: { method: 'POST', target: `${PATH}?tenant=7`, path: PATH },
  })

interface Seen extends SignedDelivery {
  readonly keys?: readonly SigningKey[]
  readonly scheme?: SignatureScheme
  readonly method?: string
  readonly lists?: Readonly<Record<string, readonly string[]>>
}

const check = (tried: TriedScheme, seen: Seen): VerificationResult =>
  verifySignature({
    scheme: seen.scheme ?? tried.scheme,
    keys: seen.keys ?? tried.keys,
    headers: (name) => seen.lists?.[name] ?? seen.headers[name],
    body: seen.body,
    nowMs: NOW_MS,
    request: { method: seen.method ?? 'POST', target: seen.target, path: PATH },
  })

const isAccepted = (tried: TriedScheme, seen: Seen): boolean => check(tried, seen).ok

const flipBit = (bytes: Uint8Array, bit: number): Uint8Array => {
  const changed = Uint8Array.from(bytes)
  const at = (bit >> 3) % changed.length
  changed[at] = (changed[at] ?? 0) ^ (1 << (bit & 7))
  return changed
}

/** A text with one bit of one of its ASCII characters changed, still ASCII. */
const flipText = (text: string, bit: number): string => {
  const at = Math.floor(bit / 7) % text.length
  const code = text.charCodeAt(at) ^ (1 << (bit % 7))
  return text.slice(0, at) + String.fromCharCode(code) + text.slice(at + 1)
}

const ALL = triedSchemes()
const SIGNED = ALL.filter(({ scheme }) => scheme.kind === 'signed')
const RUNS = { numRuns: 60 }
const named = (schemes: readonly TriedScheme[]): readonly (readonly [string, TriedScheme])[] =>
  schemes.map((each) => [each.name, each])

test('at least 24 schemes are known by name', () => {
  expect(ALL.length).toBeGreaterThanOrEqual(24)
})

describe.each(named(ALL))('%s', (_, tried) => {
  const [first, second] = tried.keys
  const { scheme } = tried
  const genuine = sign(tried, first)

  test('what is signed with it is verified with it', () => {
    expect(check(tried, genuine)).toMatchObject({ ok: true, keyIndex: 0, scheme: scheme.name })
  })

  test('while secrets are rotated both are valid, and then only the new one (F115)', () => {
    const byOld = sign(tried, second)

    expect(check(tried, byOld)).toMatchObject({ ok: true, keyIndex: 1 })
    expect(isAccepted(tried, { ...byOld, keys: [first] })).toBe(false)
    expect(isAccepted(tried, { ...byOld, keys: [] })).toBe(false)
  })

  test('without what proves it, and with it twice, it is refused (W1, F112)', () => {
    const proofs = proofHeaders(scheme)
    for (const name of proofs) {
      const { [name]: value, ...headers } = genuine.headers
      if (value === undefined) continue
      expect(isAccepted(tried, { ...genuine, headers })).toBe(false)
      expect(isAccepted(tried, { ...genuine, lists: { [name]: [value, value] } })).toBe(false)
    }
    expect(proofs.length > 0 || isInBody(scheme)).toBe(true)
  })

  test('whatever stands in the headers and the body is refused and never thrown (F110)', () => {
    const garbage = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom('', 'sig1=()', 'a=:AA==:'),
    )
    fc.assert(
      fc.property(garbage, fc.string(), (value, body) => {
        const headers = Object.fromEntries(
          Object.keys(genuine.headers).map((name) => [name, value]),
        )
        expect(isAccepted(tried, { ...genuine, headers, body: utf8(body) })).toBe(false)
      }),
      RUNS,
    )
  })
})

describe.each(named(SIGNED))('%s', (_, tried) => {
  const [first] = tried.keys
  const { scheme } = tried
  const genuine = sign(tried, first)

  test('one flipped bit of its signature is refused', () => {
    fc.assert(
      fc.property(fc.nat(), (bit) => {
        const changed = changeSignature(scheme, genuine, bit)
        expect(changed !== undefined && isAccepted(tried, changed)).toBe(false)
      }),
      RUNS,
    )
  })

  test('one flipped bit of the body, or of what of it is signed, is refused (F111)', () => {
    const isWhole = scheme.kind === 'signed' && scheme.covers === 'body'
    fc.assert(
      fc.property(fc.nat(), (bit) => {
        const text = Buffer.from(genuine.body).toString()
        const changed = isWhole
          ? [flipBit(genuine.body, bit)]
          : signedTexts(tried).map((part) => utf8(text.replace(part, () => flipLetter(part, bit))))
        for (const body of changed) expect(isAccepted(tried, { ...genuine, body })).toBe(false)
        expect(changed.length + Number(scheme.name === 'paypal')).toBeGreaterThan(0)
      }),
      RUNS,
    )
  })
})

describe('what only some sign', () => {
  test.each(named(ofSigned(({ publicUrl }) => publicUrl !== undefined)))(
    'one flipped bit of the URL is refused by %s',
    (_, tried) => {
      const { scheme, genuine } = openTried(tried)
      fc.assert(
        fc.property(fc.nat(), (bit) => {
          const target = `${PATH}?tenant=${flipText('7', bit)}`
          expect(target !== genuine.target && isAccepted(tried, { ...genuine, target })).toBe(false)
        }),
        RUNS,
      )
      const publicUrl = { from: 'declared', url: 'https://hooks.example.com/in/partnes' } as const
      expect(isAccepted(tried, { ...genuine, scheme: { ...scheme, publicUrl } })).toBe(false)
    },
  )

  test.each(named(ofSigned(({ timestampUnit }) => timestampUnit !== undefined)))(
    'a time outside the tolerance is refused by %s, its edges are not, and no other time fits',
    (_, tried) => {
      const { scheme, genuine, first } = openTried(tried)
      const { pastMs, futureMs } = scheme.tolerance
      const at = (timestampMs: number): VerificationResult =>
        check(tried, sign(tried, first, timestampMs))

      expect(at(NOW_MS - pastMs)).toMatchObject({ ok: true, skewMs: pastMs })
      expect(at(NOW_MS - pastMs - 1_000)).toMatchObject({ ok: false, reason: 'too-old' })
      expect(at(NOW_MS + futureMs)).toMatchObject({ ok: true })
      expect(at(NOW_MS + futureMs + 1_000)).toMatchObject({ ok: false, reason: 'too-new' })
      const other = sign(tried, first, NOW_MS - 1_000)
      for (const { timestamp } of scheme.headers) {
        if (timestamp === undefined || genuine.headers[timestamp] === undefined) continue
        const headers = { ...genuine.headers, [timestamp]: other.headers[timestamp] ?? '' }
        expect(isAccepted(tried, { ...genuine, headers })).toBe(false)
      }
    },
  )

  test.each(named(ofSigned(({ messageId }) => messageId === 'signed')))(
    'one flipped bit of a signed id is refused by %s',
    (_, tried) => {
      const { scheme, genuine } = openTried(tried)
      expect(check(tried, genuine)).toMatchObject({ messageId: ID, messageIdSigned: true })
      const id = scheme.headers[0]?.id
      if (id === undefined) return
      fc.assert(
        fc.property(fc.nat(), (bit) => {
          const headers = { ...genuine.headers, [id]: flipText(ID, bit) }
          expect(isAccepted(tried, { ...genuine, headers })).toBe(false)
        }),
        RUNS,
      )
    },
  )
})

function ofSigned(holds: (scheme: SignedScheme) => boolean): readonly TriedScheme[] {
  return SIGNED.filter(({ scheme }) => scheme.kind === 'signed' && holds(scheme))
}

function openTried(tried: TriedScheme): {
  readonly scheme: SignedScheme
  readonly genuine: SignedDelivery
  readonly first: SigningKey
} {
  const { scheme, keys } = tried
  if (scheme.kind !== 'signed') throw new Error('Only those that sign are asked.')
  return { scheme, genuine: sign(tried, keys[0]), first: keys[0] }
}

const isInBody = (scheme: SignatureScheme): boolean =>
  scheme.kind === 'signed' && scheme.inBody !== undefined

function proofHeaders(scheme: SignatureScheme): readonly string[] {
  if (scheme.kind === 'unsigned') return []
  if (scheme.kind === 'bearer') return [scheme.header ?? 'authorization']
  const isMessage = scheme.format.kind === 'http-message'
  const names = scheme.headers.flatMap(({ signature, timestamp }) => [signature, timestamp])
  return [
    ...names.filter((name) => name !== undefined),
    ...(isMessage ? ['signature-input', 'content-digest'] : []),
    ...(scheme.fixedHeaders ?? []).map(({ name }) => name),
  ]
}

/** The request with one bit of its signature changed; undefined where that spells the same one. */
function changeSignature(
  scheme: SignatureScheme,
  genuine: SignedDelivery,
  bit: number,
): SignedDelivery | undefined {
  if (scheme.kind !== 'signed') return undefined
  const path = scheme.inBody?.signature.split('.').at(-1)
  if (path !== undefined) {
    const text = Buffer.from(genuine.body).toString()
    const found = new RegExp(`"${path}":"([^"]+)"`).exec(text)?.[1] ?? ''
    const flipped = flipText(found, bit)
    if (flipped.toLowerCase() === found.toLowerCase()) return undefined
    return {
      ...genuine,
      body: utf8(text.replace(found, () => JSON.stringify(flipped).slice(1, -1))),
    }
  }
  const name = scheme.headers.find(({ signature }) => genuine.headers[signature])?.signature ?? ''
  const value = genuine.headers[name] ?? ''
  const flipped = flipText(value, bit)
  const isHex = scheme.versions.some(({ encoding }) => encoding === 'hex')
  if (isHex && flipped.toLowerCase() === value.toLowerCase()) return undefined
  return { ...genuine, headers: { ...genuine.headers, [name]: flipped } }
}

/** What of a body is signed where not all of it is. */
function signedTexts({ scheme }: TriedScheme): readonly string[] {
  if (scheme.kind !== 'signed') return []
  if (scheme.name === 'twilio') return ['5550100', 'there']
  if (scheme.name === 'adyen') return ['psp-1', 'Shop', 'order-1', 'EUR', 'AUTHORISATION']
  if (scheme.name === 'sns') return ['Order 1 was paid', ID, 'orders', 'arn:aws', 'Notification']
  return scheme.name === 'mailgun' ? [ID] : []
}

/** Another letter in its place, so that the body stays a body. */
function flipLetter(part: string, bit: number): string {
  const at = bit % part.length
  const put = part[at] === 'x' ? 'y' : 'x'
  return part.slice(0, at) + put + part.slice(at + 1)
}

describe('PayPal', () => {
  const tried = ALL.find(({ name }) => name === 'paypal')

  test('another body has another checksum, and another time is another signature', () => {
    if (!tried) throw new Error('PayPal is known.')
    const genuine = sign(tried, tried.keys[0])
    const headers = { ...genuine.headers, 'paypal-transmission-time': '2025-01-02T00:00:00Z' }

    expect(isAccepted(tried, { ...genuine, body: utf8('{"n":2}') })).toBe(false)
    expect(isAccepted(tried, { ...genuine, headers })).toBe(false)
  })
})
