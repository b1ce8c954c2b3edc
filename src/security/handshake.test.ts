import { describe, expect, it } from 'vitest'
import { type Handshake, hmac, secret } from '../contract/index.ts'
import { answerHandshake } from './handshake.ts'
import { requestFacts } from './request-facts.ts'
import { createSigningKey } from './signing-key.ts'

const scheme = hmac({ header: 'x-signature', secret: secret.env('SECRET') })
const key = createSigningKey({
  scheme: {
    name: 'test',
    secretForms: [{ prefix: '', encoding: 'verbatim', use: 'hmac' }],
    secretBytesMin: 16,
  },
  text: 'a secret of some length',
  source: 'SECRET',
})

const CRC: Handshake = {
  method: 'GET',
  signed: false,
  when: [{ from: 'query', name: 'crc_token' }],
  answer: {
    as: 'json',
    members: { response_token: { from: 'query', name: 'crc_token', hmac: 'base64' } },
  },
}

const ask = (token: string) =>
  answerHandshake(CRC, {
    scheme,
    keys: [key],
    facts: requestFacts({
      headers: () => undefined,
      body: new Uint8Array(0),
      request: {
        method: 'GET',
        target: `/hook?crc_token=${encodeURIComponent(token)}`,
        path: '/hook',
      },
    }),
  })

describe('a handshake that anyone may ask for', () => {
  it('signs a token', () => {
    expect(ask('MTIzNDU2Nzg5MA==')?.status).toBe(200)
  })

  it.each([
    '{"id":"1"}',
    '["paid"]',
    '"paid"',
    '1700000000.{"id":"1"}',
    'v0:1:{}',
    'id=1&paid=1',
    'id=1',
  ])('signs nothing that could be a body: %s (F110)', (token) => {
    expect(ask(token)).toBeUndefined()
  })
})
