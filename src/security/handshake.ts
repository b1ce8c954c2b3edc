import { createHmac, timingSafeEqual } from 'node:crypto'
import type { AnswerValue, Handshake, SignatureScheme } from '../contract/index.ts'
import { LIMITS } from '../kernel/index.ts'
import { hashToken } from './bearer-token.ts'
import { type RequestFacts, textAt } from './request-facts.ts'
import type { SigningKey } from './signing-key.ts'

/** What is sent back to a sender that sets up its subscription. */
export interface HandshakeReply {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export interface HandshakeInput {
  readonly scheme: SignatureScheme
  readonly keys: readonly SigningKey[]
  readonly facts: RequestFacts
}

const handshakesOf = (scheme: SignatureScheme): readonly Handshake[] =>
  scheme.kind === 'unsigned' ? [] : (scheme.handshakes ?? [])

/** Whether a method other than POST may be a handshake of the scheme. */
export const hasHandshake = (scheme: SignatureScheme, method: string): boolean =>
  handshakesOf(scheme).some((each) => each.method === method)

/** The handshake that a request is, if it is one. */
export const findHandshake = ({ scheme, facts }: HandshakeInput): Handshake | undefined =>
  handshakesOf(scheme).find(
    ({ method, when }) =>
      method === facts.method &&
      when.every(({ equals, among, ...source }) => {
        const text = textAt(facts, source)
        if (text === undefined) return false
        if (among) return among.includes(text)
        return equals === undefined || text === String(equals)
      }),
  )

/**
 * The answer to a handshake; undefined where what it shows is not the token, or what it wants to
 * have back is not plain. Whoever asks learns only its own text, as text.
 */
export const answerHandshake = (
  handshake: Handshake,
  input: HandshakeInput,
): HandshakeReply | undefined => {
  if (!showsToken(handshake, input)) return undefined
  const { answer } = handshake
  if (answer.as === 'nothing') {
    return { status: handshake.method === 'HEAD' ? 200 : 204, headers: {}, body: '' }
  }
  if (answer.as === 'text') {
    const text = valueOf(answer.text, handshake, input)
    if (text === undefined) return undefined
    return { status: 200, headers: textHeaders('text/plain; charset=utf-8'), body: String(text) }
  }
  const named = answer.as === 'json' ? answer.members : answer.headers
  const values: Record<string, string | number> = {}
  for (const [name, value] of Object.entries(named)) {
    const read = valueOf(value, handshake, input)
    if (read === undefined) return undefined
    values[name] = read
  }
  if (answer.as === 'json') {
    return { status: 200, headers: textHeaders('application/json'), body: JSON.stringify(values) }
  }
  const headers = Object.entries(values).map(([name, value]) => [name, String(value)] as const)
  return { status: 200, headers: Object.fromEntries(headers), body: '' }
}

/** A browser must not take an echo for a page. */
const textHeaders = (type: string): Readonly<Record<string, string>> => ({
  'content-type': type,
  'x-content-type-options': 'nosniff',
  'cache-control': 'no-store',
})

function showsToken({ shows }: Handshake, { keys, facts }: HandshakeInput): boolean {
  if (!shows) return true
  const given = textAt(facts, shows)
  if (given === undefined || given.length > LIMITS.tokenCharsMax) return false
  const shown = Buffer.from(hashToken(given))
  let isRight = false
  for (const key of keys) {
    if (key.use !== 'handshake') continue
    const expected = Buffer.from(hashToken(key.key.export().toString('utf8')))
    // Hashes are compared, so that all lengths are equal, and all of them (F110, W5).
    if (timingSafeEqual(expected, shown)) isRight = true
  }
  return isRight
}

/** Visible ASCII: it is echoed, and may become a header. */
const PLAIN = /^[\x21-\x7e]+$/

/**
 * What is signed for whoever asks: never what could be a body, of JSON or a form, so that nobody
 * gets the signature of a message in this way.
 */
const TOKEN = /^[\w+/.~-]+={0,2}$/

function valueOf(
  value: AnswerValue,
  { signed }: Handshake,
  input: HandshakeInput,
): string | number | undefined {
  if (value.from === 'fixed') return value.value
  const { hmac, prefix = '', ...source } = value
  const text = textAt(input.facts, source)
  if (text === undefined || text.length > LIMITS.handshakeCharsMax || !PLAIN.test(text)) {
    return undefined
  }
  if (!hmac) return prefix + text
  if (!signed && !TOKEN.test(text)) return undefined
  const key = input.keys.find((each) => each.use === 'hmac')
  return key && prefix + createHmac('sha256', key.key).update(text).digest(hmac)
}
