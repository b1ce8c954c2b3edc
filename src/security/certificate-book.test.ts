import { describe, expect, test } from 'vitest'
import { schemes, type SignedScheme } from '../contract/index.ts'
import { utf8 } from '../kernel/index.ts'
import { certificateUrl, createCertificateBook, type FetchCertificate } from './certificate-book.ts'
import { makeCertificate } from '../../test/certificate.fixture.ts'
import { type RequestFacts, requestFacts } from './request-facts.ts'

const paypal = schemes.paypal({ webhookId: '8PT597110X687430LKGECATA' })
const sns = schemes.sns()
const URL_OF_ONE = 'https://api.paypal.com/v1/notifications/certs/CERT-360caa42'
const NOW_MS = Date.parse('2026-06-01T00:00:00Z')
const MINUTE_MS = 60_000

const naming = (url: string): RequestFacts =>
  requestFacts({
    headers: (name) => (name === 'paypal-cert-url' ? url : undefined),
    body: utf8(JSON.stringify({ SigningCertURL: url })),
  })

const one = makeCertificate()

function openBook(fetch?: FetchCertificate) {
  const asked: string[] = []
  const clock = { nowMs: NOW_MS, now: () => clock.nowMs, monotonicMs: () => clock.nowMs }
  const book = createCertificateBook({
    clock,
    fetch: (url) => {
      asked.push(url)
      return fetch ? fetch(url) : Promise.resolve(one.pem)
    },
  })
  const keyFor = (url = URL_OF_ONE, scheme: SignedScheme = paypal) =>
    book.keyFor(scheme, naming(url))
  return { asked, clock, keyFor }
}

describe('the URL of a certificate', () => {
  test.each([
    'http://api.paypal.com/v1/notifications/certs/CERT-1',
    'https://api.paypal.com.evil.example/v1/notifications/certs/CERT-1',
    'https://evil.example/v1/notifications/certs/CERT-1',
    'https://api.paypal.com@evil.example/v1/notifications/certs/CERT-1',
    'https://user@api.paypal.com/v1/notifications/certs/CERT-1',
    'https://api.paypal.com:8443/v1/notifications/certs/CERT-1',
    'https://api.paypal.com/v1/oauth2/CERT-1',
    'https://api.paypal.com/v1/notifications/certs/../../oauth2/x',
    'https://api.paypal.com/v1/notifications/certs/CERT-1?next=evil',
    'https://api.paypal.com/v1/notifications/certs/CERT-1#x',
    'HTTPS://API.PAYPAL.COM/v1/notifications/certs/CERT-1',
    'https://127.0.0.1/v1/notifications/certs/CERT-1',
    'file:///etc/passwd',
    'nonsense',
    '',
    `https://api.paypal.com/v1/notifications/certs/${'a'.repeat(500)}`,
  ])('%s is not asked (F116)', async (url) => {
    const { asked, keyFor } = openBook()

    expect(await keyFor(url)).toBeUndefined()
    expect(asked).toEqual([])
  })

  test.each([
    ['https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-ab.pem', true],
    ['https://sns.eu-west-1.evil.amazonaws.com/SimpleNotificationService-ab.pem', false],
    ['https://evil-sns.amazonaws.com/SimpleNotificationService-ab.pem', false],
    ['https://sns.eu-west-1.amazonaws.com/other.pem', false],
  ])('a star is one label: %s is asked: %s', (url, isAsked) => {
    expect(certificateUrl(sns.certificate, naming(url))).toBe(isAsked ? url : undefined)
  })
})

describe('a certificate', () => {
  test('is fetched once for requests that come together and later', async () => {
    const { asked, keyFor } = openBook()

    const keys = await Promise.all([keyFor(), keyFor(), keyFor()])
    await keyFor()

    expect(new Set(keys).size).toBe(1)
    expect(asked).toEqual([URL_OF_ONE])
  })

  test('is fetched again after a day, and goes on to be used while its host is away', async () => {
    let isAway = false
    const { asked, clock, keyFor } = openBook(() =>
      isAway ? Promise.reject(new Error('away')) : Promise.resolve(one.pem),
    )

    const first = await keyFor()
    clock.nowMs += 86_400_000
    isAway = true
    const second = await keyFor()

    expect(asked).toHaveLength(2)
    expect(second).toBe(first)
  })

  test('that is not valid yet, or no more, is not used', async () => {
    const { clock, keyFor } = openBook()

    expect(await keyFor()).toMatchObject({ use: 'rsa' })
    clock.nowMs = Date.parse('2040-01-01T00:00:00Z')
    expect(await keyFor()).toBeUndefined()
    clock.nowMs = Date.parse('2023-12-31T00:00:00Z')
    expect(await keyFor()).toBeUndefined()
  })

  test.each([
    ['no certificate', utf8('-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n')],
    ['nothing', utf8('')],
    ['too large', new Uint8Array(65_537)],
  ])('that is %s is not used', async (_, bytes) => {
    const { keyFor } = openBook(() => Promise.resolve(bytes))

    expect(await keyFor()).toBeUndefined()
  })

  test('is not fetched without end for URLs that anybody makes up (W4)', async () => {
    const { asked, clock, keyFor } = openBook(() => Promise.reject(new Error('404')))

    for (let n = 0; n < 50; n++) await keyFor(`${URL_OF_ONE}-${n}`)
    expect(asked).toHaveLength(10)

    clock.nowMs += MINUTE_MS
    await keyFor(`${URL_OF_ONE}-51`)
    expect(asked).toHaveLength(11)
  })
})
