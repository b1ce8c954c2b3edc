import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { METRICS } from '../observe/index.ts'
import { github, secret } from '../contract/index.ts'
import { JuncturaError } from '../kernel/index.ts'
import { acmeHook, bytesOf, openBorder, order, problemOf } from './border.fixture.ts'

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

  it('tell operators, and them only, which cause it was and how far off the clock is', async () => {
    const border = await openBorder()

    const answers = [
      await border.send(order(), { headers: { 'webhook-signature': 'v1,AAAA' } }),
      await border.send(order(), { headers: { 'webhook-signature': undefined } }),
      await border.send(order(), { agoMs: 301_000 }),
      await border.send(order(), { agoMs: -302_000 }),
      // A stranger may claim any time: it is told to nobody.
      await border.send(order(), { agoMs: 999_000, headers: { 'webhook-signature': 'v1,AAAA' } }),
    ]

    expect(border.refusals.map(({ detail, skewMs }) => [detail, skewMs])).toEqual([
      ['mismatch', undefined],
      ['missing-header', undefined],
      ['too-old', 301_000],
      ['too-new', -302_000],
      ['mismatch', undefined],
    ])
    expect(new Set(answers.map(({ body }) => body)).size).toBe(1)
    expect(border.metrics.read(METRICS.refusedSkew)).toMatchObject({
      points: [{ labels: { webhook: 'acme' }, value: -302 }],
    })
    expect(border.metrics.read(METRICS.refused)).toMatchObject({
      points: [
        { labels: { reason: 'signature', detail: 'mismatch' }, value: 2 },
        { labels: { reason: 'signature', detail: 'missing-header' }, value: 1 },
        { labels: { reason: 'signature', detail: 'too-old' }, value: 1 },
        { labels: { reason: 'signature', detail: 'too-new' }, value: 1 },
      ],
    })
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
  it('that breaks its schema is answered 422 naming every field, kept, and its key released (M17)', async () => {
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

  it('that is invalid is answered 503 while it cannot be kept, so that it is sent again', async () => {
    const full = new JuncturaError('JUNCTURA_STORE_FULL', { details: { problem: 'full' } })
    const fault = (point: string): Promise<void> =>
      point === 'before-commit' ? Promise.reject(full) : Promise.resolve()
    const border = await openBorder({ fault })

    expect((await border.send({ version: 1 })).status).toBe(503)
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
