import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { github, secret } from '../contract/index.ts'
import { JuncturaError, LIMITS } from '../kernel/index.ts'
import { acmeHook, bytesOf, openBorder, order, problemOf, signedHeaders } from './border.fixture.ts'
import type { BodySource } from './ingress-request.ts'

/** A body that must not be read. */
const untouched: BodySource = {
  read: () => Promise.reject(new JuncturaError('JUNCTURA_INVARIANT', { details: {} })),
}

describe('an accepted request', () => {
  it('is answered 202 with its message id once it is stored', async () => {
    const border = await openBorder()

    const response = await border.send(order())

    expect(response.status).toBe(202)
    expect(problemOf(response)).toMatchObject({
      status: 'accepted',
      id: expect.stringMatching(/^msg_/),
    })
    expect(await border.stored()).toBe(1)
  })

  it('is answered 200 with the first id when it comes again (F113)', async () => {
    const border = await openBorder()
    const first = await border.send(order())
    await border.kernel.clock.advance(60_000)

    const again = await border.send(order())

    expect(again.status).toBe(200)
    expect(problemOf(again)).toEqual({ id: problemOf(first)['id'], status: 'duplicate' })
    expect(await border.stored()).toBe(1)
  })

  it('is one 202 and 49 times 200 when fifty come at once (W20)', async () => {
    const border = await openBorder()

    const all = await Promise.all(Array.from({ length: 50 }, () => border.send(order())))

    const statuses = all.map(({ status }) => status)
    expect(statuses.filter((status) => status === 202)).toHaveLength(1)
    expect(statuses.filter((status) => status === 200)).toHaveLength(49)
    expect(border.ingress.bytesInFlight).toBe(0)
    expect(border.ingress.inFlight).toBe(0)
  })

  it('carries the trace and the correlation id it came with', async () => {
    const border = await openBorder()
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'

    await border.send(order(), { headers: { traceparent, 'x-correlation-id': 'case-7' } })

    const [record] = await border.store.readLogBackwards({ beforePosition: 9, limit: 1 })
    const text = Buffer.from(record?.bytes ?? '').toString()
    expect(text).toContain(traceparent)
    expect(text).toContain('"correlationid":"case-7"')
  })

  it('ignores a correlation id that is no plain label (F56)', async () => {
    const border = await openBorder()

    await border.send(order(), { headers: { 'x-correlation-id': '<script>' } })

    const [record] = await border.store.readLogBackwards({ beforePosition: 9, limit: 1 })
    expect(Buffer.from(record?.bytes ?? '').toString()).not.toContain('<script>')
  })
})

describe('the order of refusals is the cheapest first (W19)', () => {
  const refusals = [
    ['too many headers', 431, { headers: { 'x-a': Array.from({ length: 101 }, () => 'b') } }],
    ['headers too large', 431, { headers: { 'x-a': 'b'.repeat(20_000) } }],
    ['a target too long', 414, { target: `/webhooks/acme?${'x'.repeat(9_000)}` }],
    ['an unknown path', 404, { target: '/webhooks/other' }],
    ['a method that is not POST', 405, { method: 'PUT' }],
    ['no media type', 415, { headers: { 'content-type': undefined } }],
    [
      'a media type twice',
      415,
      { headers: { 'content-type': ['application/json', 'text/plain'] } },
    ],
    ['a form', 415, { headers: { 'content-type': 'application/x-www-form-urlencoded' } }],
    ['another charset', 415, { headers: { 'content-type': 'application/json; charset=utf-16' } }],
    ['an unknown encoding', 415, { headers: { 'content-encoding': 'compress' } }],
    ['nested encodings', 415, { headers: { 'content-encoding': 'gzip, gzip' } }],
    ['an encoding twice', 415, { headers: { 'content-encoding': ['gzip', 'br'] } }],
    ['a declared size beyond the cap', 413, { headers: { 'content-length': '1048577' } }],
  ] as const

  it.each(refusals)('%s is refused with %i before the body is read', async (_, status, options) => {
    const border = await openBorder()

    const response = await border.send(order(), { ...options, body: untouched })

    expect(response.status).toBe(status)
    expect(response.close).toBe(true)
    expect(response.headers['content-type']).toBe('application/problem+json')
    expect(problemOf(response)).toMatchObject({
      status,
      type: expect.stringMatching(/^\/errors\//),
    })
    expect(await border.stored()).toBe(0)
    expect(border.refusals).toHaveLength(1)
  })

  it('refuses by size before it looks for the route, and by route before the method', async () => {
    const border = await openBorder()
    const target = '/nowhere'

    const large = await border.send(order(), { target, headers: { 'x-a': 'b'.repeat(20_000) } })
    const unknown = await border.send(order(), { target, method: 'PUT' })

    expect([large.status, unknown.status]).toEqual([431, 404])
  })

  it('checks the signature before it parses, and claims and keeps nothing without it', async () => {
    const border = await openBorder()

    const response = await border.send('{"broken', { headers: { 'webhook-signature': 'v1,AAAA' } })

    expect(response.status).toBe(401)
    expect(await border.invalid()).toEqual([])
    expect((await border.send(order())).status).toBe(202)
  })
})

describe('methods and paths (F102, F105)', () => {
  it.each(['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE', 'TRACE', 'CONNECT', 'BREW'])(
    '%s is answered 405 with what is allowed',
    async (method) => {
      const response = await (await openBorder()).send(order(), { method, body: untouched })

      expect(response.status).toBe(405)
      expect(response.headers['allow']).toBe('POST, OPTIONS')
    },
  )

  it('answers OPTIONS with what is allowed', async () => {
    const response = await (await openBorder()).send(order(), { method: 'OPTIONS' })

    expect([response.status, response.headers['allow']]).toEqual([204, 'POST, OPTIONS'])
  })

  it.each([
    '//webhooks/acme',
    '/webhooks//acme',
    '/webhooks/./acme',
    '/webhooks/x/../acme',
    '/webhooks/acme/',
    '/webhooks/%61cme',
    '/webhooks/acme%00',
    '/WEBHOOKS/ACME',
    '/webhooks/acme;x=1',
    '*',
    '',
  ])('%j names nothing', async (target) => {
    expect((await (await openBorder()).send(order(), { target })).status).toBe(404)
  })

  it.each(['/webhooks/acme?a=1&a=2', 'http://host.example/webhooks/acme'])(
    '%s names the webhook',
    async (target) => {
      expect((await (await openBorder()).send(order(), { target })).status).toBe(202)
    },
  )

  it('ignores headers that would override the method or the address', async () => {
    const border = await openBorder({ ratePerAddress: { perSecond: 1, burst: 1 } })
    const headers = { 'x-http-method-override': 'GET', 'x-forwarded-for': '10.0.0.1' }

    const first = await border.send(order(), { headers })
    const second = await border.send(order('B'), {
      id: 'evt_2',
      headers: { 'x-forwarded-for': '10.0.0.2' },
    })

    expect([first.status, second.status]).toEqual([202, 429])
  })
})

describe('load', () => {
  it('beyond the rate of one address is answered 429 and let in again', async () => {
    const border = await openBorder({ ratePerAddress: { perSecond: 1, burst: 1 } })
    await border.send(order())

    const refused = await border.send(order(), { body: untouched })
    const other = await border.send(order(), { address: '127.0.0.2' })
    await border.kernel.clock.advance(1_000)
    const later = await border.send(order())

    expect([refused.status, other.status, later.status]).toEqual([429, 200, 200])
    expect(refused.headers['retry-after']).toBe('1')
  })

  it('beyond the commit queue is answered 503 before the body is read, and recovers (F95)', async () => {
    let waiting: number = LIMITS.acceptQueueMax
    const border = await openBorder({ waiting: () => waiting })

    const refused = await border.send(order(), { body: untouched })
    waiting = 0
    const later = await border.send(order())

    expect([refused.status, later.status]).toEqual([503, 202])
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0)
  })

  it('beyond the bytes in flight is answered 503 and gives its bytes back', async () => {
    const border = await openBorder()
    const noRoom: BodySource = { read: () => Promise.resolve({ kind: 'no-room' }) }

    const refused = await border.send(order(), { body: noRoom })

    expect(refused.status).toBe(503)
    expect(border.ingress.bytesInFlight).toBe(0)
  })

  it('holds no more body bytes than its budget, whatever comes at once', async () => {
    const border = await openBorder({ hook: acmeHook({ bodyBytesMax: 3_000_000 }) })
    const large = order('A', { note: 'x'.repeat(2_900_000) })

    const all = await Promise.all(
      Array.from({ length: 60 }, (_, index) => border.send(large, { id: `evt_${index}` })),
    )

    const statuses = new Set(all.map(({ status }) => status))
    expect(statuses).toEqual(new Set([202, 503]))
    expect(border.ingress.bytesInFlight).toBe(0)
  })

  it('on a store that no longer knows what it holds is answered 503', async () => {
    const border = await openBorder({ mode: 'failed' })

    const response = await border.send(order(), { body: untouched })

    expect([response.status, problemOf(response)['code']]).toEqual([503, 'JUNCTURA_STORE_UNKNOWN'])
  })

  it('while the store is full is answered 503 with Retry-After, and nothing is half accepted', async () => {
    let isFull = true
    const fault = (point: string): Promise<void> =>
      isFull && point === 'before-commit'
        ? Promise.reject(new JuncturaError('JUNCTURA_STORE_FULL', { details: { problem: '/x' } }))
        : Promise.resolve()
    const border = await openBorder({ fault })

    const refused = await border.send(order())
    isFull = false
    const later = await border.send(order())

    expect([refused.status, later.status]).toEqual([503, 202])
    expect(refused.headers['retry-after']).toBeDefined()
    expect(refused.body).not.toContain('/x')
    expect(await border.stored()).toBe(1)
  })
})

describe('bodies', () => {
  it.each(['too-large', 'incomplete', 'too-slow'] as const)(
    'that end %s are refused and nothing is stored (F1, F45, F106)',
    async (kind) => {
      const border = await openBorder()

      const response = await border.send(order(), {
        body: { read: () => Promise.resolve({ kind }) },
      })

      expect(response.status).toBe({ 'too-large': 413, incomplete: 400, 'too-slow': 408 }[kind])
      expect(await border.stored()).toBe(0)
    },
  )

  it.each([
    ['gzip', gzipSync],
    ['deflate', deflateSync],
    ['br', brotliCompressSync],
    ['zstd', zstdCompressSync],
  ] as const)(
    'in %s are verified over what was compressed (W17, F111)',
    async (encoding, compress) => {
      const border = await openBorder()
      const sent = compress(bytesOf(order()))

      const good = await border.send(order(), { sent, headers: { 'content-encoding': encoding } })
      const plain = await border.send(order())
      const wire = await border.send(sent, { headers: { 'content-encoding': encoding } })

      expect([good.status, plain.status, wire.status]).toEqual([202, 200, 401])
      expect(border.ingress.bytesInFlight).toBe(0)
    },
  )

  it.each([
    ['gzip', gzipSync],
    ['br', brotliCompressSync],
    ['zstd', zstdCompressSync],
  ] as const)(
    'that are %s bombs are given up early, unverified (F46)',
    async (encoding, compress) => {
      const border = await openBorder()
      const sent = compress(Buffer.alloc(64 * 1_048_576))

      const response = await border.send(order(), {
        sent,
        headers: { 'content-encoding': encoding },
      })

      expect(response.status).toBe(413)
      expect(border.ingress.bytesInFlight).toBe(0)
    },
  )

  it('that shrank more than honest text does are given up within the size cap as well', async () => {
    const border = await openBorder()
    const sent = gzipSync(Buffer.alloc(900_000, 0x20))

    const response = await border.send(order(), { sent, headers: { 'content-encoding': 'gzip' } })

    expect(response.status).toBe(413)
  })

  it('with a wrong checksum, an early end or something after the end are refused', async () => {
    const border = await openBorder()
    const whole = gzipSync(bytesOf(order()))
    const damaged = Buffer.from(whole)
    damaged.writeUInt8(damaged.readUInt8(damaged.length - 6) ^ 255, damaged.length - 6)
    const bodies = [damaged, whole.subarray(0, -4), Buffer.concat([whole, Buffer.from('more')])]

    const statuses = await Promise.all(
      bodies.map(async (sent) => {
        const response = await border.send(order(), {
          sent,
          headers: { 'content-encoding': 'gzip' },
        })
        return response.status
      }),
    )

    expect(statuses).toEqual([400, 400, 400])
    expect(border.ingress.bytesInFlight).toBe(0)
  })
})

describe('signatures', () => {
  const attacks = [
    ['missing', { 'webhook-signature': undefined }],
    ['empty', { 'webhook-signature': '' }],
    ['malformed', { 'webhook-signature': 'v1,***' }],
    ['of a wrong length', { 'webhook-signature': 'v1,AAAA' }],
    ['repeated', { 'webhook-signature': ['v1,AAAA', 'v1,BBBB'] }],
    ['of an unknown version', { 'webhook-signature': 'v9,AAAA' }],
    ['without an id', { 'webhook-id': undefined }],
    ['with a timestamp that is no number', { 'webhook-timestamp': '1700000000abc' }],
  ] as const

  it('that do not fit are all answered alike (F110)', async () => {
    const border = await openBorder()

    const answers = await Promise.all(
      attacks.map(([, headers]) => border.send(order(), { headers })),
    )

    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([401]))
    expect(new Set(answers.map(({ body }) => body)).size).toBe(1)
    expect(await border.stored()).toBe(0)
    expect(new Set(border.refusals.map(({ detail }) => detail)).size).toBeGreaterThan(2)
  })

  it('too old or too new are answered like wrong ones (F112)', async () => {
    const border = await openBorder()

    const wrong = await border.send(order(), { headers: { 'webhook-signature': 'v1,AAAA' } })
    const old = await border.send(order(), { agoMs: 301_000 })
    const early = await border.send(order(), { agoMs: -301_000 })
    const edge = await border.send(order(), { agoMs: 300_000 })

    expect([old.body, early.body]).toEqual([wrong.body, wrong.body])
    expect(edge.status).toBe(202)
  })

  it('cover the bytes: one changed byte, or a re-serialised body, is refused (F111)', async () => {
    const border = await openBorder()
    const spaced = JSON.stringify(order(), undefined, 1)

    const response = await border.send(order(), { sent: Buffer.from(spaced) })

    expect(response.status).toBe(401)
  })

  it('take the id from the family of headers that was verified, and from no other', async () => {
    const border = await openBorder()

    const first = await border.send(order(), { family: 1 })
    const other = await border.send(order('B'), { family: 1 })
    const mixed = await border.send(order(), { family: 1, headers: { 'webhook-id': 'evt_2' } })

    expect([first.status, other.status, mixed.status]).toEqual([202, 409, 401])
  })

  it('that do not cover the id make the body the key as well, so a replay has no effect', async () => {
    const verify = github({ secret: secret.env('ACME_SECRET') })
    const border = await openBorder({ hook: acmeHook({ verify, idHeader: 'x-github-delivery' }) })

    const first = await border.send(order(), { id: 'one' })
    const replay = await border.send(order(), { id: 'two' })
    const other = await border.send(order('B'), { id: 'three' })

    expect([first.status, replay.status, other.status]).toEqual([202, 200, 202])
    expect(problemOf(replay)['id']).toBe(problemOf(first)['id'])
  })
})

describe('content', () => {
  it('that breaks its schema is answered 422 naming every field, kept, and its key released', async () => {
    const border = await openBorder()
    const broken = { version: 2, status: 'lost', total: { amount: 5 } }

    const response = await border.send(broken)
    const mended = await border.send(order())

    expect(response.status).toBe(422)
    const { errors, code, keptAs } = problemOf(response)
    expect(code).toBe('JUNCTURA_BODY_INVALID')
    expect(errors).toEqual([
      expect.objectContaining({ pointer: '/orderId' }),
      expect.objectContaining({ pointer: '/status' }),
      expect.objectContaining({ pointer: '/total/amount' }),
    ])
    const [row] = await border.invalid()
    expect(row).toMatchObject({ id: keptAs, reason: 'schema', version: 2 })
    expect(mended.status).toBe(202)
  })

  it.each([
    ['unknown', { ...order(), version: 9 }],
    ['missing', { orderId: 'A', status: 'placed' }],
    ['not a whole number', { ...order(), version: '1.0' }],
  ])('in a version that is %s is answered 422 and kept (F53)', async (_, data) => {
    const border = await openBorder()

    const response = await border.send(data)

    expect([response.status, problemOf(response)['code']]).toEqual([
      422,
      'JUNCTURA_VERSION_UNKNOWN',
    ])
    expect((await border.invalid())[0]).toMatchObject({ reason: 'version' })
  })

  const attacks: readonly (readonly [string, string | Uint8Array])[] = [
    ['nested too deep (F47)', `${'['.repeat(100_000)}${']'.repeat(100_000)}`],
    ['of too many values (F47)', `[${'1,'.repeat(200_000)}1]`],
    ['with a key twice (F48)', '{"version":1,"orderId":"A","orderId":"B","status":"placed"}'],
    ['with __proto__ (F48)', '{"version":1,"orderId":"A","status":"placed","__proto__":{"x":1}}'],
    ['with NaN (F48)', '{"version":NaN}'],
    ['with a comment (F48)', '{"version":1/*x*/}'],
    ['with a byte order mark (F48)', Buffer.from('\ufeff{"version":1}')],
    ['of broken UTF-8 (W2)', Buffer.from([0x22, 0xff, 0x22])],
    ['with half a surrogate pair (F48)', '{"version":1,"orderId":"\\ud800"}'],
    ['with a number beyond a double (F49)', '{"version":1,"orderId":1e400}'],
    ['that is empty', ''],
    ['that ends early', '{"version":1'],
  ]

  it.each(attacks)('%s is answered 400, kept as it came, and harms nothing', async (_, data) => {
    const border = await openBorder()

    const response = await border.send(data)

    expect([response.status, problemOf(response)['code']]).toEqual([400, 'JUNCTURA_BODY_SYNTAX'])
    expect(Reflect.get({}, 'x')).toBeUndefined()
    const [row] = await border.invalid()
    expect(Buffer.from(row?.body ?? '', 'base64')).toEqual(Buffer.from(bytesOf(data)))
    expect(await border.stored()).toBe(0)
  })

  it('says nothing of the values it was sent', async () => {
    const border = await openBorder()

    const response = await border.send({ ...order(), status: 'canary-value' })

    expect(response.body).not.toContain('canary-value')
  })

  it('other than before under a used key is answered 409, kept, and names the first', async () => {
    const border = await openBorder()
    const first = await border.send(order())

    const other = await border.send(order('B'))

    expect(other.status).toBe(409)
    expect(problemOf(other)).toMatchObject({
      code: 'JUNCTURA_KEY_CONFLICT',
      conflictsWith: problemOf(first)['id'],
    })
    expect((await border.invalid())[0]).toMatchObject({ reason: 'conflict' })
  })

  it('without a key of its own is deduped by its bytes (W9)', async () => {
    const border = await openBorder({ hook: acmeHook({ key: 'none' }) })

    const first = await border.send(order(), { id: 'one' })
    const again = await border.send(order(), { id: 'two' })

    expect([first.status, again.status]).toEqual([202, 200])
  })
})

describe('asking what became of a message', () => {
  const ask = (border: Awaited<ReturnType<typeof openBorder>>, id: string, headers = {}) =>
    border.send('', {
      method: 'GET',
      target: `/webhooks/acme/messages/${encodeURIComponent(id)}`,
      headers: { 'content-type': undefined, 'content-length': undefined, ...headers },
      body: untouched,
      id: 'ask_1',
    })

  it('needs the credentials of the sender', async () => {
    const border = await openBorder()
    await border.send(order())

    const response = await ask(border, 'evt_1', { 'webhook-signature': 'v1,AAAA' })

    expect(response.status).toBe(401)
  })

  it('shows the first receipt, the repeats and the outcome, by id and by key', async () => {
    const border = await openBorder()
    const receivedAtMs = border.kernel.clock.now()
    const id = String(problemOf(await border.send(order()))['id'])
    await border.kernel.clock.advance(1_000)
    await border.send(order())

    const byKey = await ask(border, 'evt_1')
    const byId = await ask(border, id)

    expect(byKey.status).toBe(200)
    expect(problemOf(byKey)).toEqual({
      id,
      key: 'evt_1',
      receivedAt: new Date(receivedAtMs).toISOString(),
      repeats: 1,
      lastRepeatAt: new Date(receivedAtMs + 1_000).toISOString(),
      outcome: 'stored',
    })
    expect(byId.body).toBe(byKey.body)
  })

  it('answers 404 for what was never accepted, and 405 for another method', async () => {
    const border = await openBorder()
    const headers = signedHeaders(border, acmeHook(), { signed: Buffer.alloc(0) })

    expect((await ask(border, 'evt_9')).status).toBe(404)
    const target = '/webhooks/acme/messages/evt_9'
    expect((await border.send('', { target, headers })).headers['allow']).toBe('GET, OPTIONS')
  })
})
