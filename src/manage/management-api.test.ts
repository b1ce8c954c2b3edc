import { describe, expect, it } from 'vitest'
import {
  type Ask,
  askedApi,
  bearer,
  bodyOf,
  json,
  problemOf,
  TOKEN,
} from '../../test/pages/ask-api.fixture.ts'
import { showIncident } from '../../test/pages/incident.fixture.ts'
import { SCHEMAS } from '../../tools/openapi-schemas.ts'
import { ERROR_CODES, JuncturaError, LIMITS } from '../kernel/index.ts'
import { compileValidator } from '../schema/index.ts'
import { ROUTES } from './routes.ts'

const operation = (command: unknown, more: object = {}): Ask => ({
  headers: json,
  body: { command, reason: 'a test', ...more },
})

describe('who may call', () => {
  it('refuses a host name that was bound to loopback from outside (DNS rebinding, F144)', async () => {
    const { ask } = askedApi()
    for (const host of [
      'evil.example:7071',
      '127.0.0.1.evil.example',
      'localhost@evil',
      '',
      '10.0.0.1',
    ]) {
      const answer = await ask('/api/v1/overview', { headers: { host } })
      expect([host, ...problemOf(answer)]).toEqual([host, 421, 'JUNCTURA_HOST_REFUSED'])
    }
    for (const target of ['/', '/healthz', '/metrics']) {
      const answer = await ask(target, { headers: { host: 'evil.example' } })
      expect(answer.status).toBe(421)
    }
    const missing = await ask('/api/v1/overview', { rawHeaders: [] })
    expect(missing.status).toBe(421)
  })

  it('answers on every loopback name, with any port, as behind a forwarded one', async () => {
    const { ask } = askedApi()
    for (const host of [
      'localhost:7071',
      '127.0.0.1:8000',
      '127.0.0.1',
      '[::1]:7071',
      'LOCALHOST',
    ]) {
      expect((await ask('/api/v1/overview', { headers: { host } })).status).toBe(200)
    }
  })

  it('refuses a page of another origin, reading or writing (F144)', async () => {
    const { runtime, ask } = askedApi()
    const foreign = [
      { origin: 'https://evil.example' },
      { origin: 'null' },
      { origin: 'http://localhost:3000' },
      { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' },
      { 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'cors' },
    ]
    for (const headers of foreign) {
      const retry = operation({ kind: 'dead-letter.retry', ids: ['dead_1'] })
      const write = await ask('/api/v1/operations', { ...retry, headers: { ...json, ...headers } })
      const read = await ask('/api/v1/stream', { headers })
      expect(problemOf(write)).toEqual([403, 'JUNCTURA_ORIGIN_REFUSED'])
      expect(problemOf(read)).toEqual([403, 'JUNCTURA_ORIGIN_REFUSED'])
    }
    expect(runtime.operators).toEqual([])
  })

  it('takes its own page, and a link that a person opens from elsewhere', async () => {
    const { ask } = askedApi()
    const own = { origin: 'http://127.0.0.1:7071', 'sec-fetch-site': 'same-origin' }
    const link = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' }
    expect((await ask('/api/v1/overview', { headers: own })).status).toBe(200)
    expect((await ask('/api/v1/overview', { headers: link })).status).toBe(200)
  })

  it('refuses a form post, whose type a foreign page can send unasked (F144)', async () => {
    const { runtime, ask } = askedApi()
    const { body } = operation({ kind: 'consumer.pause', name: 'finance' })
    for (const type of [
      'text/plain',
      'application/x-www-form-urlencoded',
      'application/jsonx',
      '',
    ]) {
      const answer = await ask('/api/v1/operations', { body, headers: { 'content-type': type } })
      expect(problemOf(answer)).toEqual([415, 'JUNCTURA_CONTENT_TYPE'])
    }
    expect(runtime.operators).toEqual([])
  })

  it('asks for the token on everything but probes and page files', async () => {
    const { ask } = askedApi(TOKEN)
    const wrong = [{}, { authorization: 'Bearer nope' }, { authorization: `Basic ${TOKEN}` }]
    for (const headers of wrong) {
      for (const { path } of ROUTES) {
        const answer = await ask(path.replace('{id}', 'x'), { headers })
        expect([path, ...problemOf(answer)]).toEqual([path, 401, 'JUNCTURA_TOKEN_REQUIRED'])
        expect(answer.headers['www-authenticate']).toMatch(/^Bearer/)
      }
    }
    expect((await ask('/api/v1/overview', { headers: bearer })).status).toBe(200)
    expect((await ask('/')).status).toBe(200)
  })

  it('tells an unknown path from a known one only to who has the token', async () => {
    const { ask } = askedApi(TOKEN)
    expect((await ask('/api/v1/nothing')).status).toBe(401)
    expect((await ask('/api/v1/nothing', { headers: bearer })).status).toBe(404)
  })

  it('lets any host name through once a token decides', async () => {
    const { ask } = askedApi(TOKEN)
    const answer = await ask('/api/v1/overview', { headers: { ...bearer, host: 'ops.example' } })
    expect(answer.status).toBe(200)
  })

  it('refuses a token that is too short to be one, or cannot be sent', () => {
    expect(() => askedApi('short')).toThrow(/5 bytes/)
    expect(() => askedApi('with space inside')).toThrow(/cannot be used/)
    expect(() => askedApi('x'.repeat(LIMITS.tokenCharsMax))).toThrow(/cannot be used/)
  })

  it('refuses a deciding header that came twice (F104)', async () => {
    const { ask } = askedApi(TOKEN)
    const host = ['host', 'a']
    const twice = [...host, 'authorization', 'Bearer x', 'Authorization', `Bearer ${TOKEN}`]
    expect((await ask('/api/v1/overview', { rawHeaders: twice })).status).toBe(400)
    expect((await ask('/healthz', { rawHeaders: [...host, ...host] })).status).toBe(400)
  })

  it('refuses too many headers and too long a target (F102)', async () => {
    const { ask } = askedApi()
    const many = Array.from({ length: LIMITS.headersMax + 1 }, (_, index) => [`x-${index}`, '1'])
    expect((await ask('/healthz', { rawHeaders: many.flat() })).status).toBe(431)
    expect((await ask(`/healthz?${'a'.repeat(LIMITS.urlBytesMax)}`)).status).toBe(414)
  })
})

describe('what is asked', () => {
  it('names an unknown parameter and what there is', async () => {
    const { ask } = askedApi()
    const answer = await ask('/api/v1/messages?state=dead')
    expect(problemOf(answer)).toEqual([400, 'JUNCTURA_PARAMETER_INVALID', 'state'])
    expect(bodyOf(answer)['allowed']).toContain('status')
    expect(bodyOf(answer)['fix']).toMatch(/^Use one of: id, correlation/)
  })

  it.each([
    ['/api/v1/messages?status=broken', 'status'],
    ['/api/v1/messages?limit=0', 'limit'],
    ['/api/v1/messages?limit=501', 'limit'],
    ['/api/v1/messages?limit=1e2', 'limit'],
    ['/api/v1/messages?limit=+5', 'limit'],
    ['/api/v1/messages?after=dead_1', 'after'],
    ['/api/v1/messages?key=', 'key'],
    ['/api/v1/messages?key=a&key=b', 'key'],
    ['/api/v1/messages?key=%E0%A4', 'key'],
    [`/api/v1/messages?key=${'k'.repeat(2_049)}`, 'key'],
    ['/api/v1/dead-letters?state=gone', 'state'],
    ['/api/v1/alerts?state=', 'state'],
    ['/api/v1/overview?verbose=1', 'verbose'],
    ['/healthz?x=1', 'x'],
    ['/api/v1/stream?newest=10001', 'newest'],
  ])('answers 400 to %s and names %s (F104)', async (target, parameter) => {
    const { runtime, ask } = askedApi()
    const answer = await ask(target)
    expect(problemOf(answer)).toEqual([400, 'JUNCTURA_PARAMETER_INVALID', parameter])
    expect(runtime.asked).toEqual([])
  })

  it('hands on exactly what was asked', async () => {
    const { runtime, ask } = askedApi()
    await ask('/api/v1/messages?key=A%2F17+b&status=dead&limit=20&after=40')
    await ask('/api/v1/dead-letters?consumer=finance&cause=a%0Ab&state=dropped')
    await ask('/api/v1/invalid?webhook=acme')
    await ask('/api/v1/alerts?state=open&after=x')
    expect(runtime.asked).toEqual([
      { method: 'messages', with: { key: 'A/17 b', status: 'dead', limit: 20, after: '40' } },
      {
        method: 'deadLetters',
        with: { consumer: 'finance', cause: 'a\nb', state: 'dropped' },
      },
      { method: 'invalid', with: { webhook: 'acme' } },
      { method: 'alerts', with: { state: 'open', after: 'x' } },
    ])
  })

  it('says how complete a search was', async () => {
    const { runtime, ask } = askedApi()
    runtime.shows.complete = false
    const body = bodyOf(await ask('/api/v1/messages?key=A'))
    expect(body['searched']).toMatchObject({ complete: false, fromPosition: 1 })
    expect(body['next']).toBe('17')
  })

  it('compares paths byte for byte and knows what is not there (F102)', async () => {
    const { ask } = askedApi()
    const paths = [
      '//api/v1/overview',
      '/api/v1/overview/',
      '/api/v1/../v1/overview',
      '/API/v1/overview',
      '/api/v1/%6fverview',
      '/api/v1/messages/a/b',
      '/api/v1/messages/%E0%A4',
      '/page/../listener.ts',
      '/page/page.css/',
      '/etc/passwd',
    ]
    for (const path of paths) {
      expect([path, ...problemOf(await ask(path))]).toEqual([path, 404, 'JUNCTURA_ROUTE_UNKNOWN'])
    }
    expect(problemOf(await ask('/api/v1/messages/msg_0'))).toEqual([
      404,
      'JUNCTURA_RESOURCE_UNKNOWN',
    ])
    expect((await ask('http://127.0.0.1:7071/healthz')).status).toBe(400)
  })

  it('answers another method with those that are allowed (F105)', async () => {
    const { ask } = askedApi()
    const allow = async (method: string, target: string): Promise<readonly unknown[]> => {
      const answer = await ask(target, { method })
      return [answer.status, answer.headers['allow']]
    }
    expect(await allow('DELETE', '/api/v1/dead-letters/x')).toEqual([405, 'GET, HEAD'])
    expect(await allow('PUT', '/api/v1/operations')).toEqual([405, 'GET, HEAD, POST'])
    expect(await allow('GET', '/api/v1/publish')).toEqual([405, 'POST'])
    expect(await allow('HEAD', '/api/v1/stream')).toEqual([405, 'GET'])
    expect(await allow('OPTIONS', '/api/v1/overview')).toEqual([405, 'GET, HEAD'])
    expect(await allow('TRACE', '/')).toEqual([405, 'GET, HEAD'])
    expect(await allow('POST', '/healthz')).toEqual([405, 'GET, HEAD'])
    expect((await ask('/api/v1/overview', { method: 'HEAD' })).status).toBe(200)
  })

  it('takes `groups` for the groups and never for an id', async () => {
    const { runtime, ask } = askedApi()
    showIncident(runtime)
    expect(bodyOf(await ask('/api/v1/dead-letters/groups'))['items']).toHaveLength(2)
    expect(bodyOf(await ask('/api/v1/invalid/groups'))['items']).toHaveLength(1)
  })
})

describe('what is answered', () => {
  it('gives each view with its schema version, and forbids caching and sniffing', async () => {
    const { runtime, ask } = askedApi()
    showIncident(runtime)
    const id = runtime.shows.messages[0]?.id ?? ''
    for (const target of [
      '/api/v1/overview',
      '/api/v1/model',
      `/api/v1/messages/${id}`,
      '/readyz',
    ]) {
      const answer = await ask(target)
      expect(answer.status).toBe(200)
      expect(bodyOf(answer)['schemaVersion']).toBe(1)
      expect(answer.headers).toMatchObject({
        'content-type': 'application/json',
        'cache-control': 'no-store',
        'x-content-type-options': 'nosniff',
        'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
      })
    }
  })

  it('never shows the secret behind an alert route (F57)', async () => {
    const { runtime, ask } = askedApi()
    showIncident(runtime)
    const answer = await ask('/api/v1/alerts')
    expect(bodyOf(answer)['items']).toHaveLength(2)
    expect(answer.body).toContain('ONCALL_SECRET')
    expect(answer.body).not.toContain('never-to-be-shown')
  })

  it('says what every code means without a token: JSON, or a page for a browser', async () => {
    const { ask } = askedApi(TOKEN)
    const validator = compileValidator(SCHEMAS['ErrorDescription'] ?? {}, 'answer')
    for (const code of Object.keys(ERROR_CODES)) {
      const answer = await ask(`/errors/${code}`)
      expect([answer.status, bodyOf(answer)]).toMatchObject([
        200,
        { code, type: `/errors/${code}` },
      ])
      const faults = validator.validate(bodyOf(answer))
      expect(faults).toMatchObject({ ok: true })
    }
    const page = await ask('/errors/JUNCTURA_POLICY_RANGE', { headers: { accept: 'text/html' } })
    expect(page.headers['content-type']).toBe('text/html; charset=utf-8')
    expect(page.body).toContain('<h1>Policy range</h1>')
    expect(problemOf(await ask('/errors/toString'))).toEqual([404, 'JUNCTURA_RESOURCE_UNKNOWN'])
    expect(problemOf(await ask('/errors/JUNCTURA_INTERNAL', { method: 'POST' }))).toEqual([
      405,
      'JUNCTURA_METHOD_NOT_ALLOWED',
    ])
  })

  it('is alive and ready, or says why not', async () => {
    const { runtime, ask } = askedApi()
    expect([(await ask('/healthz')).status, (await ask('/readyz')).status]).toEqual([200, 200])
    runtime.shows.alive = false
    runtime.shows.ready = { ready: false, reasons: ['the store is full'] }
    expect((await ask('/healthz')).status).toBe(503)
    const readiness = await ask('/readyz')
    expect([readiness.status, bodyOf(readiness)['reasons']]).toEqual([503, ['the store is full']])
  })

  it('keeps the reasons from probes without the token', async () => {
    const { runtime, ask } = askedApi(TOKEN)
    runtime.shows.ready = { ready: false, reasons: ['the store is full'] }
    expect(bodyOf(await ask('/readyz'))).toEqual({ schemaVersion: 1, status: 'not-ready' })
    expect(bodyOf(await ask('/readyz', { headers: bearer }))['reasons']).toHaveLength(1)
  })

  it('gives the metrics as OpenMetrics', async () => {
    const { ask } = askedApi()
    const answer = await ask('/metrics')
    expect(answer.headers['content-type']).toMatch(/^application\/openmetrics-text; version=1/)
    expect(answer.body).toContain('junctura_ingress_accepted_total{webhook="acme"} 7')
    expect(answer.body).toMatch(/# EOF\n$/)
  })

  it('hides what failed inside, and tells a failing store as itself', async () => {
    const { runtime, ask } = askedApi()
    runtime.shows.refuses = new TypeError('connect to postgres://user:secret@db failed')
    const internal = await ask('/api/v1/overview')
    expect(problemOf(internal)).toEqual([500, 'JUNCTURA_INTERNAL'])
    expect(internal.body).not.toContain('secret')
    runtime.shows.refuses = new JuncturaError('JUNCTURA_STORE_BUSY', { details: { waiting: 9 } })
    const busy = await ask('/api/v1/overview')
    expect(problemOf(busy)).toEqual([503, 'JUNCTURA_STORE_BUSY'])
    expect(busy.headers['retry-after']).toBe('2')
  })
})

describe('the page files', () => {
  it('forbid inline script, foreign sources and frames (F144)', async () => {
    const { ask } = askedApi()
    const answer = await ask('/')
    const policy = answer.headers['content-security-policy'] ?? ''
    expect(policy).toContain("default-src 'none'")
    expect(policy).toContain("frame-ancestors 'none'")
    expect(policy).not.toContain('unsafe')
    expect(answer.headers).toMatchObject({
      'content-type': 'text/html; charset=utf-8',
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'cache-control': 'no-store',
    })
    const html = Buffer.from(answer.body as Uint8Array).toString('utf8')
    expect(html).not.toMatch(/<script(?![^>]* src=)|\son\w+=|style=/i)
  })

  it('are all there: every file that the page refers to', async () => {
    const { ask } = askedApi()
    const read = async (path: string): Promise<string> => {
      const answer = await ask(path)
      expect([path, answer.status]).toEqual([path, 200])
      return Buffer.from(answer.body as Uint8Array).toString('utf8')
    }
    const html = await read('/')
    const named = [...html.matchAll(/(?:src|href)="(\/page\/[^"]+)"/g)].map(
      ([, path]) => path ?? '',
    )
    expect(named.length).toBeGreaterThan(2)
    for (const path of named) {
      const text = await read(path)
      for (const [, module] of text.matchAll(/from '\.\/([^']+)'/g)) await read(`/page/${module}`)
    }
  })

  it('never make markup out of text', async () => {
    const { ask } = askedApi()
    for (const file of ['elements', 'health', 'failures', 'messages', 'detail', 'live', 'page']) {
      const answer = await ask(`/page/${file}.js`)
      const text = Buffer.from(answer.body as Uint8Array).toString('utf8')
      expect(text).not.toMatch(
        /innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|new Function/,
      )
    }
  })
})
