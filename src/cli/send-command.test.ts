import { describe, expect, it } from 'vitest'
import {
  createFakeIo,
  type FakeAnswer,
  type FakeIoOptions,
  type FakeRequest,
  runCli,
} from '../../test/cli/fake-io.ts'
import {
  body,
  event,
  header,
  integration,
  jsonSchema,
  type Model,
  secret,
  type SignatureScheme,
  standardWebhooks,
  system,
  team,
  unsigned,
  webhook,
  type WebhookOptions,
} from '../contract/index.ts'
import { compileValidator } from '../schema/index.ts'
import { createSigningKey, verifySignature } from '../security/index.ts'
import { must } from '../kernel/index.ts'
import { main } from './main.ts'

const SECRET = 'whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE='
const ENV = { ACME_SECRET: SECRET }
const schemaOf = (version: number) => ({
  type: 'object',
  properties: {
    version: { const: version },
    orderId: { type: 'string', minLength: 3 },
    ...(version > 1 && { total: { type: 'integer', minimum: 1 } }),
  },
  required: ['version', 'orderId', ...(version > 1 ? ['total'] : [])],
  additionalProperties: false,
})

const scheme = standardWebhooks({ secret: secret.env('ACME_SECRET') })

const modelWith = (
  options: Partial<WebhookOptions<ReturnType<typeof partnerEvent>>> = {},
): Model => {
  const accepts = partnerEvent()
  const hook = webhook('acme', {
    from: system('acme'),
    path: '/webhooks/acme',
    verify: scheme,
    accepts,
    version: body('version'),
    idempotency: { key: header('webhook-id'), retention: '7d' },
    retriesFor: '3d',
    emit: () => [],
    ...options,
  })
  return integration('orders', { parts: [hook] }).model
}

const partnerEvent = () =>
  event('acme.order', {
    owner: team('commerce'),
    versions: { 1: jsonSchema(schemaOf(1)), 2: jsonSchema(schemaOf(2)) },
  })

/** A border that verifies and dedupes by message id, as the real one does. */
const border = (verify: SignatureScheme = scheme) => {
  const seen = new Set<string>()
  const io = { nowMs: 0 }
  return {
    io,
    answer: (request: FakeRequest): FakeAnswer => {
      const keys =
        verify.kind === 'signed'
          ? [createSigningKey({ scheme: verify, text: SECRET, source: 'test' })]
          : []
      const verified = verifySignature({
        scheme: verify,
        keys,
        headers: (name) => request.headers[name],
        body: request.bytes,
        nowMs: io.nowMs,
      })
      const refused = (status: number, code: string) => ({ status, body: { code, detail: code } })
      if (!verified.ok) return refused(401, 'JUNCTURA_SIGNATURE_REFUSED')
      const version = request.body['version']
      if (version !== 1 && version !== 2) return refused(422, 'JUNCTURA_VERSION_UNKNOWN')
      const valid = compileValidator(schemaOf(version), 'schema').validate(request.body)
      if (!valid.ok) return refused(422, 'JUNCTURA_BODY_INVALID')
      const id = request.headers['webhook-id'] ?? Buffer.from(request.bytes).toString()
      const isKnown = seen.has(id)
      seen.add(id)
      const status = isKnown ? 'duplicate' : 'accepted'
      return { status: isKnown ? 200 : 202, body: { id: `msg_of_${id}`, status } }
    },
  }
}

interface Setup extends FakeIoOptions {
  readonly model?: Model
  readonly receive?: (request: FakeRequest) => FakeAnswer | Promise<FakeAnswer>
}

const setUp = (setup: Setup = {}) => {
  const { model = modelWith(), receive, ...options } = setup
  const real = border(scheme)
  const io = createFakeIo({
    env: ENV,
    routes: {
      'GET /api/v1/model': { body: { schemaVersion: 1, ...model } },
      'POST /webhooks/acme': receive ?? real.answer,
    },
    ...options,
  })
  real.io.nowMs = io.kernel.clock.now()
  const sent = (): readonly FakeRequest[] => io.requests.filter(({ method }) => method === 'POST')
  return { io, sent, run: (...argv: string[]) => main(['send', 'acme', ...argv], io) }
}

describe('send, when the outcome is not what was asked for', () => {
  it('exits with 1 when a repeat is accepted a second time', async () => {
    const receive = (): FakeAnswer => ({ status: 202, body: { id: 'msg_1', status: 'accepted' } })
    const { io, run } = setUp({ receive })

    expect(await run('--dup', '5', '--json')).toBe(1)
    expect(io.json()).toMatchObject({
      accepted: 5,
      duplicates: 0,
      expected: '1 accepted, 4 duplicates',
      asExpected: false,
    })
  })

  it('exits with 1 when what is wrong on purpose is accepted', async () => {
    const receive = (): FakeAnswer => ({ status: 202, body: { id: 'msg_1', status: 'accepted' } })
    for (const wrong of ['schema', 'signature', 'timestamp', 'version']) {
      expect([wrong, await setUp({ receive }).run('--invalid', wrong)]).toEqual([wrong, 1])
    }
  })

  it('exits with 1 and shows the answers when a good request is refused', async () => {
    const receive = (): FakeAnswer => ({
      status: 422,
      body: { code: 'JUNCTURA_BODY_INVALID', detail: 'orderId: \u001b[2J' },
    })
    const { io, run } = setUp({ receive })

    expect(await run()).toBe(1)
    expect(io.out()).toContain('1 refused')
    expect(io.out()).toContain('422 JUNCTURA_BODY_INVALID orderId: \\x1b[2J')
  })

  it('exits with 69 after one try when nothing answers at the public address', async () => {
    const { io, run } = setUp({
      receive: () => Promise.reject(new Error('never reached')),
      routes: { 'GET /api/v1/model': { body: modelWith() } },
    })
    const unreachable = await run('--count', '100', '--url', 'http://127.0.0.1:1')

    // The stand-in answers 404 there, as a listener without the route does.
    expect(unreachable).toBe(1)
    expect(io.out()).toContain('100 refused')
    expect((await runCli(['send', 'acme'])).code).toBe(69)
  })

  it('exits with 64 for a webhook, a version or a mistake that cannot be', async () => {
    const open = modelWith({ verify: unsigned({ reason: 'a test' }) })
    const { io, run } = setUp({ model: open })
    const codes = [
      await main(['send', 'nobody'], io),
      await run('--contract-version', '3'),
      await run('--invalid', 'signature'),
      await run('--invalid', 'timestamp'),
      await run('--data', '{}', '--file', 'x.json'),
      await run('--data', '{', '--set', 'a=1'),
    ]

    expect(codes).toEqual([64, 64, 64, 64, 64, 64])
    expect(io.err()).toContain('It has: acme')
    expect(io.err()).toContain('it has: 1, 2')
  })

  it('exits with 1 and says where the secret belongs when it is nowhere', async () => {
    const { io, run } = setUp({ env: {} })

    expect(await run()).toBe(1)
    expect(io.err()).toContain('ACME_SECRET')
    expect(io.err()).toContain('--integration FILE')
  })
})

describe('send', () => {
  it('sends a valid request that the border takes as genuine', async () => {
    const { io, sent, run } = setUp()

    expect(await run()).toBe(0)
    expect(io.out()).toContain('1 accepted')
    expect(sent()[0]?.url.href).toBe('http://127.0.0.1:7070/webhooks/acme')
    expect(sent()[0]?.body).toMatchObject({ version: 2 })
    expect(io.out()).toContain(`junctura trace msg_of_${sent()[0]?.headers['webhook-id']}`)
  })

  it('M3: sends one request five times as it is and reports 1 accepted, 4 duplicates', async () => {
    const { io, sent, run } = setUp()

    expect(await run('--dup', '5')).toBe(0)
    expect(io.out()).toContain('1 accepted, 4 duplicates')
    const [first, ...others] = sent().map(({ headers, bytes }) => [headers, bytes.toString()])
    expect(others).toEqual([first, first, first, first])
  })

  it('is refused as asked for each way of being wrong', async () => {
    for (const [wrong, status] of [
      ['schema', '422'],
      ['version', '422'],
      ['signature', '401'],
      ['timestamp', '401'],
    ] as const) {
      const { io, run } = setUp()
      expect([wrong, await run('--invalid', wrong, '--json')]).toEqual([wrong, 0])
      expect(io.json()).toMatchObject({ refused: 1, statuses: { [status]: 1 } })
    }
  })

  it('breaks something else than the version when the schema is to be wrong', async () => {
    const { io, run } = setUp()
    await run('--invalid', 'schema', '--count', '20', '--json')

    const { problems }: { problems?: readonly { code: string }[] } = io.json()
    const codes = new Set(problems?.map(({ code }) => code))
    expect([...codes]).toEqual(['JUNCTURA_BODY_INVALID'])
  })

  it('makes different messages, the same ones again under the same seed', async () => {
    const bodies = async (): Promise<readonly string[]> => {
      const { io, sent, run } = setUp()
      expect(await run('--count', '20', '--seed', '4', '--json')).toBe(0)
      expect(io.json()).toMatchObject({ sent: 20, accepted: 20 })
      expect(new Set(sent().map(({ headers }) => headers['webhook-id'])).size).toBe(20)
      return sent().map(({ bytes }) => Buffer.from(bytes).toString())
    }

    expect(await bodies()).toEqual(await bodies())
  })

  it('sends the bytes of a file untouched', async () => {
    const bytes = Buffer.from('{ "version":1,\n"orderId" : "A-1" }')
    const { sent, run } = setUp({ files: { '/project/order.json': bytes } })

    expect(await run('--file', 'order.json')).toBe(0)
    expect(Buffer.from(must(sent()[0], 'a request').bytes)).toEqual(bytes)
  })

  it('puts values in and counts, with ids as told', async () => {
    const { sent, run } = setUp()

    expect(await run('--count', '2', '--set', 'orderId=ORDER-{n}', '--id', 'evt_{n}')).toBe(0)
    expect(sent().map(({ headers, body }) => [headers['webhook-id'], body['orderId']])).toEqual([
      ['evt_1', 'ORDER-1'],
      ['evt_2', 'ORDER-2'],
    ])
  })

  it('gives each example its own key where the body holds the idempotency key', async () => {
    const model = modelWith({ idempotency: { key: body('orderId') } })
    const { sent, run } = setUp({ model })

    expect(await run('--count', '10')).toBe(0)
    expect(new Set(sent().map(({ body: data }) => data['orderId'])).size).toBe(10)
  })

  it('makes examples about different things where the key is made of the body or not declared', async () => {
    const model = modelWith({ idempotency: {} })
    const { sent, run } = setUp({ model })

    expect(await run('--count', '50')).toBe(0)
    expect(new Set(sent().map(({ body: data }) => data['orderId'])).size).toBe(50)
  })

  it('keeps to a rate', async () => {
    const { io, sent, run } = setUp()
    const running = run('--count', '10', '--rate', '2/s')
    await io.kernel.clock.advance(2_100)
    const after2s = sent().length
    await io.kernel.clock.advance(10_000)

    expect(after2s).toBe(5)
    expect(await running).toBe(0)
    expect(sent().length).toBe(10)
  })

  it('stops on Ctrl-C with what was sent, and exits with 130', async () => {
    const { io, run } = setUp()
    const running = run('--count', '1000', '--rate', '1/s', '--json')
    await io.kernel.clock.advance(3_500)
    io.sendSignal('SIGINT')

    expect(await running).toBe(130)
    expect(io.json()).toMatchObject({ sent: 4, accepted: 4 })
  })
})
