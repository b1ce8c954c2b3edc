import { X509Certificate } from 'node:crypto'
import type { CertificateSource, SignedScheme } from '../contract/index.ts'
import { isJuncturaError, LIMITS } from '../kernel/index.ts'
import { type RequestFacts, textAt } from './request-facts.ts'
import { createPublicSigningKey, type PublicSigningKey } from './signing-key.ts'

/**
 * Gets a certificate in PEM. The URL is `https` and of a host that the scheme allows. Must follow
 * no redirect, and end by itself.
 */
export type FetchCertificate = (url: string) => Promise<Uint8Array>

export interface CertificateBookOptions {
  readonly fetch: FetchCertificate
  readonly clock: { now(): number; monotonicMs(): number }
}

/** The certificates that senders name, each fetched once. */
export interface CertificateBook {
  /**
   * The key of the certificate that a request names; undefined when it names none that may be
   * fetched, or it cannot be had. Never rejects.
   */
  keyFor(scheme: SignedScheme, facts: RequestFacts): Promise<PublicSigningKey | undefined>
}

interface Kept {
  readonly key: PublicSigningKey
  readonly validFromMs: number
  readonly validToMs: number
  readonly fetchedMs: number
}

/**
 * Trust is that of TLS: the certificate comes over HTTPS from a host of the sender. Anyone may name
 * a URL there, before anything is verified, so what is fetched is few, bounded, and shared.
 */
export const createCertificateBook = (options: CertificateBookOptions): CertificateBook => {
  const { fetch, clock } = options
  const kept = new Map<string, Kept>()
  const underWay = new Map<string, Promise<Kept | undefined>>()
  let fetches: number[] = []

  const mayFetch = (): boolean => {
    const nowMs = clock.monotonicMs()
    fetches = fetches.filter((atMs) => nowMs - atMs < MINUTE_MS)
    if (fetches.length >= LIMITS.certificateFetchesPerMinute) return false
    fetches.push(nowMs)
    return true
  }

  const load = async (scheme: SignedScheme, url: string): Promise<Kept | undefined> => {
    const pem = await fetch(url).catch(() => undefined)
    const read = pem && readCertificate(scheme, pem, clock.monotonicMs())
    if (!read) return undefined
    kept.delete(url)
    kept.set(url, read)
    const [oldest] = kept.keys()
    if (kept.size > LIMITS.certificatesMax && oldest !== undefined) kept.delete(oldest)
    return read
  }

  const find = async (scheme: SignedScheme, url: string): Promise<Kept | undefined> => {
    const known = kept.get(url)
    if (known && clock.monotonicMs() - known.fetchedMs < LIMITS.certificateKeptMs) return known
    const running = underWay.get(url)
    if (running) return running
    // What is known goes on to be used while the sender's host cannot be asked.
    if (!mayFetch()) return known
    const work = load(scheme, url).finally(() => underWay.delete(url))
    underWay.set(url, work)
    return (await work) ?? known
  }

  return {
    async keyFor(scheme, facts) {
      const url = certificateUrl(scheme.certificate, facts)
      const found = url === undefined ? undefined : await find(scheme, url)
      if (!found) return undefined
      const nowMs = clock.now()
      return nowMs >= found.validFromMs && nowMs <= found.validToMs ? found.key : undefined
    },
  }
}

const MINUTE_MS = 60_000

/** The URL that a request names, if it may be asked (F116). */
export const certificateUrl = (
  certificate: CertificateSource | undefined,
  facts: RequestFacts,
): string | undefined => {
  const text = certificate && textAt(facts, certificate.place)
  if (text === undefined || text.length > LIMITS.certificateUrlCharsMax) return undefined
  if (!URL.canParse(text)) return undefined
  const url = new URL(text)
  // Only as it is written: what two readers could understand in two ways is none.
  const isPlain = url.href === text && url.search === '' && url.hash === ''
  const isSafe = url.protocol === 'https:' && url.port === '' && url.username === ''
  if (!isPlain || !isSafe || url.password !== '') return undefined
  const isOurs = certificate?.hosts.some((pattern) => fitsHost(pattern, url.hostname)) ?? false
  return isOurs && url.pathname.startsWith(certificate?.path ?? '/') ? text : undefined
}

/** `*` is one label of letters, digits and `-`. */
function fitsHost(pattern: string, host: string): boolean {
  const [labels, given] = [pattern.split('.'), host.split('.')]
  return (
    labels.length === given.length &&
    labels.every((label, at) =>
      label === '*' ? /^[a-z0-9-]+$/.test(given[at] ?? '') : label === given[at],
    )
  )
}

function readCertificate(
  scheme: SignedScheme,
  pem: Uint8Array,
  fetchedMs: number,
): Kept | undefined {
  if (pem.length > LIMITS.certificateBytesMax) return undefined
  try {
    const certificate = new X509Certificate(pem)
    const key = createPublicSigningKey({ scheme, source: 'certificate' }, certificate.publicKey)
    return {
      key,
      validFromMs: Date.parse(certificate.validFrom),
      validToMs: Date.parse(certificate.validTo),
      fetchedMs,
    }
  } catch (error) {
    // No certificate, or one whose key the scheme does not take: the request names none then.
    if (isJuncturaError(error) || error instanceof Error) return undefined
    throw error
  }
}
