import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { createSeededRandom, ERROR_CODES, JuncturaError, LIMITS } from '../kernel/index.ts'
import { createContextTracer, METRICS, type Tracer } from '../observe/index.ts'
import { acmeHook, openBorder, order, problemOf } from './border.fixture.ts'
import { SENDER_CODES } from './describe-error.ts'
import type { BodySource } from './ingress-request.ts'

/** A body that must not be read. */
const untouched: BodySource = {
  read: () => Promise.reject(new JuncturaError('JUNCTURA_INVARIANT', { details: {} })),
}

describe('an accepted request', () => {
  it('is answered 202 with its message id once it is stored (M14)', async () => {
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

describe('the type of a problem', () => {
  it('leads to what it means, on the listener that named it (RFC 9457)', async () => {
    const border = await openBorder()
    const refused = problemOf(await border.send(order(), { target: '/nowhere' }))
    const target = String(refused['type'])

    const answer = await border.send('', { method: 'GET', target })

    const { advice } = ERROR_CODES.JUNCTURA_ROUTE_UNKNOWN
    const { title, code } = refused
    expect(answer.status).toBe(200)
    const meaning: unknown = JSON.parse(answer.body)
    expect(meaning).toEqual({ type: target, code, title, status: 404, retryable: false, advice })
  })

  it('leads to nothing for what no sender is answered, and for what is no question', async () => {
    const border = await openBorder()
    const asks = [
      ['GET', '/errors/JUNCTURA_SECRET_MISSING'],
      ['GET', '/errors/JUNCTURA_NOTHING'],
      ['GET', '/errors/toString'],
      ['GET', '/errors/../errors/JUNCTURA_INTERNAL'],
      ['POST', '/errors/JUNCTURA_INTERNAL'],
    ] as const

    const answers = await Promise.all(
      asks.map(([method, target]) => border.send('', { method, target })),
    )

    expect(answers.map(({ status }) => status)).toEqual([404, 404, 404, 404, 404])
  })

  it('is described for every code that the reference page of answers lists', async () => {
    const page = readFileSync(
      new URL('../../docs/reference/http-answers.md', import.meta.url),
      'utf8',
    )
    const listed = page.matchAll(/\[(JUNCTURA_[A-Z_]+)\]\(errors\.md/g)
    expect(SENDER_CODES).toEqual(new Set(Array.from(listed, ([, code]) => code)))
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

describe('what can be seen of the border', () => {
  it('is counted per webhook and reason', async () => {
    const border = await openBorder()
    await border.send(order())
    await border.send(order())
    await border.send(order('B'))
    await border.send({ version: 1 }, { id: 'evt_2' })
    await border.send(order(), { headers: { 'webhook-signature': 'v1,AAAA' } })
    await border.send(order(), { target: '/nowhere' })

    const counts = [
      METRICS.accepted,
      METRICS.duplicates,
      METRICS.invalid,
      METRICS.contractMismatches,
      METRICS.refused,
    ].map((definition) => {
      const family = border.metrics.read(definition)
      const points = family.kind === 'number' ? family.points : []
      return points
        .filter(({ value }) => value > 0)
        .map(({ labels, value }) => ({ ...labels, value }))
    })

    expect(counts).toEqual([
      [{ webhook: 'acme', value: 1 }],
      [
        { webhook: 'acme', kind: 'repeat', value: 1 },
        { webhook: 'acme', kind: 'mismatch', value: 1 },
      ],
      [
        { webhook: 'acme', reason: 'conflict', value: 1 },
        { webhook: 'acme', reason: 'schema', value: 1 },
      ],
      [{ webhook: 'acme', reason: 'schema', value: 1 }],
      [
        { webhook: 'acme', reason: 'signature', detail: 'mismatch', value: 1 },
        { webhook: 'none', reason: 'route', detail: 'none', value: 1 },
      ],
    ])
  })

  it('is one span per step below the request, in the trace of the sender', async () => {
    const names: string[] = []
    const traces = new Set<string>()
    const contexts = createContextTracer(createSeededRandom(1))
    const tracer: Tracer = {
      isRecording: true,
      startSpan: (name, options) => {
        const span = contexts.startSpan(name, options)
        names.push(name)
        traces.add(span.context.traceId)
        return span
      },
    }
    const border = await openBorder({ tracer })
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'

    await border.send(order(), { headers: { traceparent } })

    expect(names).toEqual(['POST /webhooks/acme', 'verify signature', 'validate body', 'store'])
    expect(traces).toEqual(new Set(['0af7651916cd43dd8448eb211c80319c']))
  })
})

describe('a border that drains', () => {
  it('finishes what it is answering and turns away the rest with 503 and a time (F14)', async () => {
    const border = await openBorder()
    const first = border.send(order())
    let isDrained = false

    const draining = border.ingress.drain().then(() => (isDrained = true))
    expect(isDrained).toBe(false)
    const late = await border.send(order('A-late'))

    expect(late.status).toBe(503)
    expect(late.headers['retry-after']).toMatch(/^\d+$/)
    expect(problemOf(late)).toMatchObject({ code: 'JUNCTURA_CLOSED' })
    expect((await first).status).toBe(202)
    await draining
    expect(border.ingress.inFlight).toBe(0)
    expect(await border.stored()).toBe(1)
  })
})
