import { generateKeyPairSync } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { schemes, secret, type SignedScheme } from '../contract/index.ts'
import { utf8 } from '../kernel/index.ts'
import { createSigningKey } from './signing-key.ts'
import {
  type VerificationInput,
  type VerificationResult,
  verifySignature,
} from './verify-signature.ts'

// Requests and signatures as the senders' documentation or their own libraries publish them.
const from = secret.env('PARTNER_SECRET')

interface Example {
  readonly scheme: SignedScheme
  readonly key: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body: string
  readonly nowMs?: number
  readonly request?: VerificationInput['request']
}

const check = (example: Example): VerificationResult => {
  const { scheme, key, headers = {}, body, nowMs = 0, request } = example
  return verifySignature({
    scheme,
    keys: [createSigningKey({ scheme, text: key, source: 'test' })],
    headers: (name) => headers[name],
    body: utf8(body),
    nowMs,
    ...(request && { request }),
  })
}

const accepted = expect.objectContaining({ ok: true })
const refusedAs = (reason: string): unknown => expect.objectContaining({ ok: false, reason })

/** Changes the last character of the body, or the first digit of a value in it. */
const spoiled = (example: Example): Example => ({ ...example, body: `${example.body} ` })

const post = (path: string, query = ''): NonNullable<VerificationInput['request']> => ({
  method: 'POST',
  path,
  target: path + query,
})

describe('Slack', () => {
  // https://docs.slack.dev/authentication/verifying-requests-from-slack/
  const example: Example = {
    scheme: schemes.slack({ secret: from }),
    key: '8f742231b10e8888abcd99yyyzzz85a5',
    headers: {
      'x-slack-request-timestamp': '1531420618',
      'x-slack-signature': 'v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503',
    },
    body:
      'token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V' +
      '&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=' +
      '&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN' +
      '&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c',
    nowMs: 1_531_420_618_000,
  }

  test('the documented request is verified, and another body is not', () => {
    expect(check(example)).toMatchObject({ ok: true, timestampMs: 1_531_420_618_000 })
    expect(check(spoiled(example))).toEqual(refusedAs('mismatch'))
  })

  test('the documented request is too old five minutes and a second later (F112)', () => {
    expect(check({ ...example, nowMs: 1_531_420_918_000 })).toEqual(accepted)
    expect(check({ ...example, nowMs: 1_531_420_919_000 })).toEqual(refusedAs('too-old'))
  })
})

describe('Bitbucket', () => {
  // https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/ (secure webhooks, test values)
  const example: Example = {
    scheme: schemes.bitbucket({ secret: from }),
    key: "It's a Secret to Everybody",
    headers: {
      'x-hub-signature': 'sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9',
    },
    body: 'Hello World!',
  }

  test('the documented request is verified, and another body is not', () => {
    expect(check(example)).toEqual(accepted)
    expect(check(spoiled(example))).toEqual(refusedAs('mismatch'))
  })
})

describe('Twilio', () => {
  // https://github.com/twilio/twilio-node/blob/main/spec/validation.spec.js
  const scheme = schemes.twilio({
    secret: from,
    publicUrl: 'https://mycompany.com/myapp.php',
    secretBytesMin: 8,
  })
  // Its token of five characters is too short for us; the hash is that of the library all the same.
  const short: SignedScheme = { ...scheme, secretBytesMin: 5 }
  const form: Example = {
    scheme: short,
    key: '12345',
    headers: { 'x-twilio-signature': 'RSOYDt4T1cUTdK1PDd93/VVr8B8=' },
    body: 'CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212',
    request: post('/hook', '?foo=1&bar=2'),
  }
  const HASH = '0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620'
  const json: Example = {
    scheme: short,
    key: '12345',
    headers: { 'x-twilio-signature': 'a9nBmqA0ju/hNViExpshrM61xv4=' },
    body: '{"property": "value", "boolean": true}',
    request: post('/hook', `?foo=1&bar=2&bodySHA256=${HASH}`),
  }

  test('a form of its library is verified, in any order of the fields', () => {
    const reordered = form.body.split('&').toReversed().join('&')

    expect(check(form)).toEqual(accepted)
    expect(check({ ...form, body: reordered })).toEqual(accepted)
    expect(check({ ...form, body: form.body.replace('1234567890', '1234567891') })).toEqual(
      refusedAs('mismatch'),
    )
  })

  test('a JSON body of its library is verified by the hash in the URL', () => {
    expect(check(json)).toEqual(accepted)
    expect(check(spoiled(json))).toEqual(refusedAs('mismatch'))
  })

  test('without the hash in the URL, the body is a form and must fit', () => {
    expect(check({ ...json, request: post('/hook', '?foo=1&bar=2') })).toEqual(
      refusedAs('mismatch'),
    )
  })

  test('two hashes in the URL are refused', () => {
    const query = `?foo=1&bar=2&bodySHA256=${HASH}&bodySHA256=${HASH}`

    expect(check({ ...json, request: post('/hook', query) })).toEqual(refusedAs('malformed'))
  })

  test('another query, or another URL, is refused', () => {
    expect(check({ ...form, request: post('/hook', '?foo=1&bar=3') })).toEqual(
      refusedAs('mismatch'),
    )
    const publicUrl = { from: 'declared', url: 'https://mycompany.org/myapp.php' } as const
    expect(check({ ...form, scheme: { ...short, publicUrl } })).toEqual(refusedAs('mismatch'))
  })
})

describe('Square', () => {
  // https://github.com/square/square-nodejs-sdk/blob/master/tests/integration/webhooks.test.ts
  const example: Example = {
    scheme: schemes.square({
      secret: from,
      publicUrl: 'https://webhook.site/679a4f3a-dcfa-49ee-bac5-9d0edad886b9',
    }),
    key: 'Ibxx_5AKakO-3qeNVR61Dw',
    headers: { 'x-square-hmacsha256-signature': 'GF4YkrJgGBDZ9NIYbNXBnMzqb2HoL4RW/S6vkZ9/2N4=' },
    body:
      '{"merchant_id":"MLEFBHHSJGVHD","type":"webhooks.test_notification","event_id":"ac3ac95b-f97d-458c-a6e6-18981597e05f",' +
      '"created_at":"2022-07-13T20:30:59.037339943Z","data":{"type":"webhooks","id":"bc368e64-01aa-407e-b46e-3231809b1129"}}',
  }

  test('the request of its library is verified; another body or URL is not', () => {
    const publicUrl = {
      from: 'declared',
      url: 'https://webhook.site/79a4f3a-dcfa-49ee-bac5-9d0edad886b9',
    } as const

    expect(check(example)).toEqual(accepted)
    expect(check(spoiled(example))).toEqual(refusedAs('mismatch'))
    expect(check({ ...example, scheme: { ...example.scheme, publicUrl } })).toEqual(
      refusedAs('mismatch'),
    )
  })
})

describe('Adyen', () => {
  // https://github.com/Adyen/adyen-node-api-library/blob/main/src/__tests__/hmacValidator.spec.ts
  const item = (over: object = {}, signature = 'ZNBPtI+oDyyRrLyD1XirkKnQgIAlFc07Vj27TeHsDRE=') => ({
    NotificationRequestItem: {
      pspReference: 'pspReference',
      originalReference: 'originalReference',
      merchantAccountCode: 'merchantAccount',
      merchantReference: 'reference',
      amount: { currency: 'EUR', value: 1000 },
      eventCode: 'REPORT_AVAILABLE',
      eventDate: '2019-09-21T11:45:24.637Z',
      paymentMethod: 'VISA',
      reason: 'reason',
      success: 'true',
      additionalData: { hmacSignature: signature },
      ...over,
    },
  })
  const example = (notificationItems: readonly object[]): Example => ({
    scheme: schemes.adyen({ secret: from }),
    key: 'DFB1EB5485895CFA84146406857104ABB4CBCABDC8AAF103A624C8F6A3EAAB00',
    body: JSON.stringify({ live: 'false', notificationItems }),
  })

  test('the item of its library is verified', () => {
    expect(check(example([item()]))).toEqual(accepted)
    expect(
      check(
        example([item({ eventCode: 'EVENT' }, 'ipnxGCaUZ4l8TUW75a71/ghd2Fe5ffvX0pV4TLTntIc=')]),
      ),
    ).toEqual(accepted)
  })

  test.each([
    { pspReference: 'other' },
    { amount: { currency: 'EUR', value: 1001 } },
    { amount: { currency: 'USD', value: 1000 } },
    { success: 'false' },
  ])('another value of a signed field is refused: %j', (over) => {
    expect(check(example([item(over)]))).toEqual(refusedAs('mismatch'))
  })

  test('a second item, which nobody would check, and none are refused', () => {
    expect(check(example([item(), item({ pspReference: 'smuggled' })]))).toEqual(
      refusedAs('missing-field'),
    )
    expect(check(example([]))).toEqual(refusedAs('missing-field'))
  })

  test('a field with the colon that separates the fields is refused, also where the text fits (W11)', () => {
    const moved = { merchantAccountCode: 'merchantAccount:reference', merchantReference: '' }

    expect(check(example([item(moved)]))).toEqual(refusedAs('missing-field'))
  })
})

describe('SendGrid', () => {
  // https://github.com/sendgrid/sendgrid-nodejs/blob/main/packages/eventwebhook/src/eventwebhook.spec.js
  const body =
    JSON.stringify([
      {
        email: 'hello@world.com',
        event: 'dropped',
        reason: 'Bounced Address',
        sg_event_id: 'ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA',
        sg_message_id: 'LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0',
        'smtp-id': '<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>',
        timestamp: 1_600_112_492,
      },
    ]) + '\r\n'
  const example: Example = {
    scheme: schemes.sendgrid({ secret: from }),
    key: 'MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==',
    headers: {
      'x-twilio-email-event-webhook-signature':
        'MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM=',
      'x-twilio-email-event-webhook-timestamp': '1600112502',
    },
    body,
    nowMs: 1_600_112_502_000,
  }

  test('the request of its library is verified; without its last line end it is not', () => {
    expect(check(example)).toEqual(accepted)
    expect(check({ ...example, body: body.trimEnd() })).toEqual(refusedAs('mismatch'))
  })
})

describe('Paddle', () => {
  // https://github.com/PaddleHQ/paddle-node-sdk/blob/main/src/__tests__/notifications/webhooks-validator.node.test.ts
  const scheme: SignedScheme = { ...schemes.paddle({ secret: from }), secretBytesMin: 12 }
  const example: Example = {
    scheme,
    key: 'VALID_SECRET',
    headers: {
      'paddle-signature':
        'ts=1698796800;h1=a300428748dce5c70e4da19bffd60769591ea969c99dea3105d0ec9612cf43f9',
    },
    body: '{"data": ["1", "2"]}',
    nowMs: 1_698_796_800_000,
  }

  test('the requests of its library are verified, with several hashes, too', () => {
    const hash = '28981e941fae76e53db32f3d2a83cb69db41476595e84e1970a1b5d98f62b261'
    const several = { 'paddle-signature': `ts=1698796800;h1=${hash};h1=${hash};h2=RANDOM_HASH` }

    expect(check(example)).toEqual(accepted)
    expect(check({ ...example, headers: several, body: '{"data": "value"}' })).toEqual(accepted)
  })

  test('another body, secret or time is refused', () => {
    expect(check({ ...example, body: '{ "data": [ "1", "2" ]}' })).toEqual(refusedAs('mismatch'))
    expect(check({ ...example, key: 'INVALID_VALID_SECRET' })).toEqual(refusedAs('mismatch'))
    expect(check({ ...example, nowMs: 1_698_797_101_000 })).toEqual(refusedAs('too-old'))
  })
})

describe('Box', () => {
  // https://github.com/box/box-node-sdk/blob/main/tests/lib/managers/webhooks-test.js
  const scheme: SignedScheme = { ...schemes.box({ secret: from }), secretBytesMin: 16 }
  const headers = {
    'box-delivery-id': 'f96bb54b-ee16-4fc5-aa65-8c2d9e5b546f',
    'box-delivery-timestamp': '2020-01-01T00:00:00-07:00',
    'box-signature-algorithm': 'HmacSHA256',
    'box-signature-primary': '6TfeAW3A1PASkgboxxA5yqHNKOwFyMWuEXny/FPD5hI=',
    'box-signature-secondary': 'v+1CD1Jdo3muIcbpv5lxxgPglOqMfsNHPV899xWYydo=',
    'box-signature-version': '1',
  }
  const example: Example = {
    scheme,
    key: 'SamplePrimaryKey',
    headers,
    body: '{"type":"webhook_event","webhook":{"id":"1234567890"},"trigger":"FILE.UPLOADED","source":{"id":"1234567890","type":"file","name":"Test.txt"}}',
    nowMs: Date.parse('2020-01-01T00:00:00-07:00'),
  }

  test('the request of its library is verified by either key', () => {
    expect(check(example)).toMatchObject({ ok: true, messageIdSigned: false })
    expect(check({ ...example, key: 'SampleSecondaryKey' })).toEqual(accepted)
    expect(check({ ...example, key: 'IncorrectKey1234' })).toEqual(refusedAs('mismatch'))
  })

  test('ten minutes are its tolerance; another version or algorithm is refused', () => {
    const at = (time: string): Example => ({ ...example, nowMs: Date.parse(time) })

    expect(check(at('2020-01-01T00:10:00-07:00'))).toEqual(accepted)
    expect(check(at('2020-01-01T00:10:01-07:00'))).toEqual(refusedAs('too-old'))
    for (const over of [{ 'box-signature-version': '2' }, { 'box-signature-algorithm': 'XXX' }]) {
      expect(check({ ...example, headers: { ...headers, ...over } })).toEqual(
        refusedAs('malformed'),
      )
    }
  })
})

describe('HTTP Message Signatures', () => {
  // RFC 9421, appendix B: the test request B.2 with the keys B.1.
  const headers = {
    host: 'example.com',
    date: 'Tue, 20 Apr 2021 02:07:55 GMT',
    'content-type': 'application/json',
    'content-digest':
      'sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:',
    'content-length': '18',
  }
  const scheme = (
    algorithm: 'hmac-sha256' | 'ed25519' | 'rsa-pss-sha512',
    components: readonly string[],
  ): SignedScheme => {
    const made = schemes.httpMessageSignatures({
      secret: from,
      publicUrl: 'https://example.com/foo',
      algorithms: [algorithm],
    })
    // The examples cover less than we ask of a declaration.
    return { ...made, format: { kind: 'http-message', components } }
  }
  const base = {
    body: '{"hello": "world"}',
    nowMs: 1_618_884_473_000,
    request: { method: 'POST', path: '/hook', target: '/hook?param=Value&Pet=dog' },
  } as const
  const RSA_PSS =
    'MIIBIDALBgkqhkiG9w0BAQoDggEPADCCAQoCggEBAK+LZpt69tFnfz26rz9bNvkBLb6bkWlfGKuNII1EfMtkY8WunaRthlx2z37zLPHLfi4dRh+OcdvEcN0cud5pvqAF48kPOjpw5GeTfJWG4IA+Dt8OjOqQLy5IZPeQJ3U64n2yBTzVPDzzDuzsqxQB6oA7M54zxZkzrQhHDdmdRaVoHIcLmCzy/lqJKpbXddZ6qs4vmyfXL0igA2HVAADeVlLc3aYsui204EsT+6HIlOE59IOSOmg2SewPC86NCksmWKAOPOZqnDtBlQHVcPZauGjk/b+nfp2+G5zZEFZJS0N31QLyZvsXQzqfSwjQjePFdqZwzpBVevlPZ1eaMnOlyNsCAwEAAQ=='
  const full: Example = {
    ...base,
    scheme: scheme('rsa-pss-sha512', [
      '@method',
      '@path',
      '@query',
      '@authority',
      'content-digest',
    ]),
    key: RSA_PSS,
    headers: {
      ...headers,
      'signature-input':
        'sig-b23=("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-rsa-pss"',
      signature:
        'sig-b23=:bbN8oArOxYoyylQQUU6QYwrTuaxLwjAC9fbY2F6SVWvh0yBiMIRGOnMYwZ/5MR6fb0Kh1rIRASVxFkeGt683+qRpRRU5p2voTp768ZrCUb38K0fUxN0O0iC59DzYx8DFll5GmydPxSmme9v6ULbMFkl+V5B1TP/yPViV7KsLNmvKiLJH1pFkh/aYA2HXXZzNBXmIkoQoLd7YfW91kE9o/CCoC1xMy7JA1ipwvKvfrs65ldmlu9bpG6A9BmzhuzF8Eim5f8ui9eH8LZH896+QIF61ka39VBrohr9iyMUJpvRX2Zbhl5ZJzSRxpJyoEZAFL2FUo5fTIztsDZKEgM4cUA==:',
    },
  }

  test('B.2.3: full coverage with RSA-PSS', () => {
    expect(check(full)).toMatchObject({ ok: true, timestampMs: 1_618_884_473_000 })
  })

  test('B.2.3 with another body, method, query or covered header is refused', () => {
    expect(check(spoiled(full))).toEqual(refusedAs('mismatch'))
    const { request } = base
    for (const over of [{ method: 'PUT' }, { target: '/hook?param=Value&Pet=cat' }]) {
      expect(check({ ...full, request: { ...request, ...over } })).toEqual(refusedAs('mismatch'))
    }
    const date = { ...full.headers, date: 'Tue, 20 Apr 2021 02:07:56 GMT' }
    expect(check({ ...full, headers: date })).toEqual(refusedAs('mismatch'))
  })

  test('B.2.2: selective coverage, a query parameter and a tag', () => {
    const components = ['@authority', 'content-digest']
    const example: Example = {
      ...full,
      scheme: {
        ...full.scheme,
        format: { kind: 'http-message', components, tag: 'header-example' },
      },
      headers: {
        ...headers,
        'signature-input':
          'sig-b22=("@authority" "content-digest" "@query-param";name="Pet");created=1618884473;keyid="test-key-rsa-pss";tag="header-example"',
        signature:
          'sig-b22=:LjbtqUbfmvjj5C5kr1Ugj4PmLYvx9wVjZvD9GsTT4F7GrcQEdJzgI9qHxICagShLRiLMlAJjtq6N4CDfKtjvuJyE5qH7KT8UCMkSowOB4+ECxCmT8rtAmj/0PIXxi0A0nxKyB09RNrCQibbUjsLS/2YyFYXEu4TRJQzRw1rLEuEfY17SARYhpTlaqwZVtR8NV7+4UKkjqpcAoFqWFQh62s7Cl+H2fjBSpqfZUJcsIk4N6wiKYd4je2U/lankenQ99PZfB4jY3I5rSV2DSBVkSFsURIjYErOs0tFTQosMTAoxk//0RoKUqiYY8Bh0aaUEb0rQl3/XaVe4bXTugEjHSw==:',
      },
    }
    const otherTag = { kind: 'http-message', components, tag: 'another' } as const

    expect(check(example)).toEqual(accepted)
    expect(check({ ...example, scheme: { ...example.scheme, format: otherTag } })).toEqual(
      refusedAs('mismatch'),
    )
  })

  test('B.2.5: HMAC', () => {
    const example: Example = {
      ...base,
      scheme: scheme('hmac-sha256', ['@authority', 'date', 'content-type']),
      key: 'uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==',
      headers: {
        ...headers,
        'signature-input':
          'sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"',
        signature: 'sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:',
      },
    }

    expect(check(example)).toEqual(accepted)
    expect(check({ ...example, nowMs: 1_618_884_774_000 })).toEqual(refusedAs('too-old'))
  })

  test('B.2.6: Ed25519', () => {
    const example: Example = {
      ...base,
      scheme: scheme('ed25519', ['@method', '@path', '@authority']),
      key: 'MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=',
      headers: {
        ...headers,
        'signature-input':
          'sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"',
        signature:
          'sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:',
      },
    }

    expect(check(example)).toEqual(accepted)
    expect(
      check({ ...example, headers: { ...example.headers, 'content-type': 'text/plain' } }),
    ).toEqual(refusedAs('mismatch'))
  })

  test('what covers less than the scheme asks for is refused (F116)', () => {
    const asked = schemes.httpMessageSignatures({
      secret: from,
      publicUrl: 'https://example.com/foo',
      algorithms: ['rsa-pss-sha512'],
    })

    expect(check({ ...full, scheme: asked })).toEqual(refusedAs('missing-field'))
  })
})

test('a public key of another kind than the scheme takes is refused at start (F116)', () => {
  const scheme = schemes.sendgrid({ secret: from })
  const text = createPublicKeyText()

  expect(() => createSigningKey({ scheme, text, source: 'test' })).toThrow(
    expect.objectContaining({ code: 'JUNCTURA_SECRET_INVALID' }),
  )
})

const createPublicKeyText = (): string =>
  generateKeyPairSync('ec', { namedCurve: 'P-384' })
    .publicKey.export({ format: 'der', type: 'spki' })
    .toString('base64')
