import { describe, expect, it } from 'vitest'
import {
  consumer,
  type Consumer,
  event,
  eventsEndpoint,
  integration,
  jsonSchema,
  type Part,
  type PushOptions,
  secret,
  standardWebhooks,
  system,
  unsigned,
} from '../contract/index.ts'
import type { HttpCall, HttpReply } from '../egress/index.ts'
import { bodyOfBytes } from '../ingress/index.ts'
import { resolveSecrets, verifySignature } from '../security/index.ts'
import { createWorld, owners, Placed, policy, Shipped, type World } from './world.fixture.ts'

const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`
const OTHER_SECRET = `whsec_${Buffer.alloc(32, 8).toString('base64')}`
const scheme = standardWebhooks({ secret: secret.env('PUSH_SECRET', { development: SECRET }) })

type Answer = Partial<Omit<HttpReply, 'body'>> & { readonly body?: string }

interface Receiver {
  readonly world: World
  readonly calls: HttpCall[]
  /** The answer to each call; called with its number from 1. */
  answer: (n: number, call: HttpCall) => Answer | Promise<Answer>
  /** `key:n attempt` of each call. */
  seen(): readonly string[]
}

const pushing = (push: Partial<PushOptions> = {}, more: object = {}): Consumer =>
  consumer('billing', {
    ...policy,
    on: Placed,
    idempotency: 'natural',
    push: {
      url: 'http://billing.internal:8080/events',
      secret: secret.env('PUSH_SECRET', { development: SECRET }),
      ...push,
    },
    ...more,
  })

const open = async (
  part: Consumer = pushing(),
  answer: Receiver['answer'] = () => ({ status: 204 }),
  others: readonly Part[] = [],
): Promise<Receiver> => {
  const world = createWorld()
  const calls: HttpCall[] = []
  const receiver: Receiver = {
    world,
    calls,
    answer,
    seen: () =>
      calls.map(({ body, headers }) => {
        const { key, n } = JSON.parse(Buffer.from(body).toString())
        return `${key}:${n} ${headers['junctura-attempt']}`
      }),
  }
  await world.start([part], {
    build: (parts) => integration('demo', { parts: [...parts, ...others, Shipped] }),
    dial: async (call) => {
      calls.push(call)
      const given = await receiver.answer(calls.length, call)
      const body = Buffer.from(given.body ?? '')
      return { status: 204, headers: {}, isCut: false, ...given, body }
    },
  })
  return receiver
}

const letters = async ({ world }: Receiver) => (await world.runtime.deadLetters({})).items

describe('a message pushed to a receiver', () => {
  it('is a CloudEvent in binary mode, signed byte for byte, under an id of its own (W6)', async () => {
    const receiver = await open()
    const { world, calls } = receiver

    const [id = ''] = await world.publish({ key: 'ö 1', n: 1 })
    await world.pass(100)

    const [call] = calls
    expect(call).toMatchObject({ method: 'POST', url: 'http://billing.internal:8080/events' })
    expect(Buffer.from(call?.body ?? []).toString()).toBe('{"key":"ö 1","n":1}')
    expect(call?.headers).toMatchObject({
      'content-type': 'application/json',
      'ce-specversion': '1.0',
      'ce-id': id,
      'ce-type': 'orders.placed',
      'ce-source': '/publish',
      'ce-contractversion': '1',
      'ce-partitionkey': '%C3%B6%201',
      'webhook-id': id,
      'idempotency-key': `"${id}"`,
      'junctura-consumer': 'billing',
      'junctura-attempt': '1',
    })
    const { keys } = await resolveSecrets(
      { env: () => SECRET, files: { read: () => Promise.reject(new Error('no file')) } },
      scheme,
    )
    const verified = verifySignature({
      scheme,
      keys,
      headers: (name) => call?.headers[name],
      body: call?.body ?? new Uint8Array(),
      nowMs: world.clock.now(),
    })
    expect(verified).toMatchObject({ ok: true, messageId: id })
    expect(await letters(receiver)).toEqual([])
  })

  it('is one JSON document in structured mode, which any parser of it gives back', async () => {
    const { world, calls } = await open(pushing({ mode: 'structured' }))

    const [id] = await world.publish({ key: 'a', n: 1 })
    await world.pass(100)

    expect(calls[0]?.headers['content-type']).toBe('application/cloudevents+json; charset=UTF-8')
    expect(JSON.parse(Buffer.from(calls[0]?.body ?? []).toString())).toMatchObject({
      specversion: '1.0',
      id,
      type: 'orders.placed',
      datacontenttype: 'application/json',
      data: { key: 'a', n: 1 },
    })
  })

  it('is signed with every secret that is valid, so that one can be changed', async () => {
    const { world, calls } = await open(
      pushing({ secret: secret.env('PUSH_SECRETS', { development: `${SECRET} ${OTHER_SECRET}` }) }),
    )

    await world.publish({ key: 'a', n: 1 })
    await world.pass(100)

    expect(calls[0]?.headers['webhook-signature']).toMatch(/^v1,\S+ v1,\S+$/)
  })

  it('is lifted to the version that the consumer asks for, and says so', async () => {
    const Moved = event('stock.moved', {
      owner: owners,
      versions: {
        1: jsonSchema<{ sku: string }>({ type: 'object' }),
        2: jsonSchema<{ item: string }>({ type: 'object' }),
      },
      compatibility: 'none',
      upcast: { 1: ({ sku }) => ({ item: sku }) },
    })
    const { world, calls } = await open(pushing({}, { on: Moved.version(1) }))

    await world.runtime.publish(Moved.of({ item: 'x' }))
    await world.pass(100)

    expect(calls[0]?.headers['ce-contractversion']).toBe('1')
  })

  it('keeps numbers as they were published, which parsing would round (F49)', async () => {
    const endpoint = eventsEndpoint('events', {
      from: system('shop'),
      accepts: [Placed],
      verify: unsigned({ reason: 'a test' }),
    })
    const { world, calls } = await open(pushing(), undefined, [endpoint])
    const text = '{"key": "a", "n": 1.50, "big": 9007199254740993}'
    const attributes = { specversion: '1.0', id: '1', source: '/shop', type: 'orders.placed' }
    const headers = Object.entries(attributes).flatMap(([name, value]) => [`ce-${name}`, value])

    await world.runtime.ingress.handle({
      method: 'POST',
      target: '/events',
      rawHeaders: ['content-type', 'application/json', ...headers],
      body: bodyOfBytes(Buffer.from(text)),
      remoteAddress: '127.0.0.1',
    })
    await world.pass(100)

    expect(Buffer.from(calls[0]?.body ?? []).toString()).toBe(text)
  })
})

describe('a receiver that does not take a message', () => {
  it.each([500, 502, 503, 408, 425, 429, 301])(
    'with HTTP %i gets it again, in order per key, under the same id',
    async (status) => {
      const receiver = await open(pushing(), (n) => ({ status: n === 1 ? status : 204 }))
      const { world, calls } = receiver

      await world.publish({ key: 'a', n: 1 }, { key: 'a', n: 2 })
      await world.pass(10_000)

      expect(receiver.seen()).toEqual(['a:1 1', 'a:1 2', 'a:2 1'])
      expect(calls[0]?.headers['webhook-id']).toBe(calls[1]?.headers['webhook-id'])
      expect(calls[0]?.headers['webhook-timestamp']).not.toBe(
        calls[1]?.headers['webhook-timestamp'],
      )
      expect(await letters(receiver)).toEqual([])
    },
  )

  it.each([400, 401, 403, 404, 409, 410, 413, 422])(
    'with HTTP %i makes a dead letter at once, with what it answered',
    async (status) => {
      const receiver = await open(pushing(), () => ({
        status,
        body: '{"error": "no such “account”\u001b[2J"}',
      }))
      const { world } = receiver

      await world.publish({ key: 'a', n: 1 })
      await world.pass(10_000)

      expect(receiver.seen()).toEqual(['a:1 1'])
      expect(await letters(receiver)).toMatchObject([
        { consumer: 'billing', attempts: 1, errorName: 'JUNCTURA_PUSH_REFUSED' },
      ])
      const [letter] = await letters(receiver)
      expect(letter?.errorMessage).toBe(
        `The receiver billing.internal:8080 refuses the message: it answered HTTP ${status}: ` +
          '“{"error": "no such "account"\\x1b[2J"}”',
      )
    },
  )

  it('is asked for one cause, whatever the answers say of each message', async () => {
    const receiver = await open(pushing(), (n) => ({ status: 400, body: `no order ${n}, A-${n}x` }))

    await receiver.world.publish({ key: 'a', n: 1 }, { key: 'b', n: 2 })
    await receiver.world.pass(10_000)

    const found = await letters(receiver)
    expect(found).toHaveLength(2)
    expect(new Set(found.map(({ cause }) => cause)).size).toBe(1)
  })

  it('leaves a dead letter when the retries are used up, and the key waits', async () => {
    const receiver = await open(pushing(), () => ({ status: 500 }))

    await receiver.world.publish({ key: 'a', n: 1 }, { key: 'a', n: 2 })
    await receiver.world.pass(60_000)

    expect(receiver.seen()).toEqual(['a:1 1', 'a:1 2', 'a:1 3'])
    expect(await letters(receiver)).toMatchObject([{ errorName: 'JUNCTURA_PUSH_FAILED' }])
  })

  it('that asks for a pause gets it, up to the declared longest', async () => {
    const receiver = await open(pushing({ retryAfterMax: '5m' }), (n) => ({
      status: n < 3 ? 503 : 204,
      headers: { 'retry-after': n === 1 ? '120' : '86400' },
    }))
    const { world } = receiver

    await world.publish({ key: 'a', n: 1 })
    await world.pass(119_000)
    expect(receiver.calls).toHaveLength(1)
    await world.pass(2_000)
    expect(receiver.calls).toHaveLength(2)
    await world.pass(298_000)
    expect(receiver.calls).toHaveLength(2)
    await world.pass(3_000)
    expect(receiver.calls).toHaveLength(3)
  })

  it('that never ends its answer is given up after the timeout (W16)', async () => {
    const receiver = await open(
      pushing({ timeout: '2s' }),
      (n, { signal }) =>
        new Promise((resolve, reject) => {
          if (n > 1) return resolve({ status: 204 })
          signal.addEventListener('abort', () => reject(new Error('aborted')))
        }),
    )

    await receiver.world.publish({ key: 'a', n: 1 })
    await receiver.world.pass(1_999)
    expect(receiver.calls).toHaveLength(1)
    await receiver.world.pass(2_000)

    expect(receiver.seen()).toEqual(['a:1 1', 'a:1 2'])
    expect(await letters(receiver)).toEqual([])
  })

  it('that is not there is tried again', async () => {
    const receiver = await open(pushing(), (n) => {
      if (n > 1) return { status: 200, body: 'thanks' }
      throw Object.assign(new Error('connect'), { code: 'ECONNREFUSED' })
    })

    await receiver.world.publish({ key: 'a', n: 1 })
    await receiver.world.pass(10_000)

    expect(receiver.calls).toHaveLength(2)
    const attempts = await receiver.world.runtime.messages({})
    expect(attempts.items[0]?.status).toBe('done')
  })
})

describe('events that a receiver answers', () => {
  const shipped = (more: object = {}): object => ({
    specversion: '1.0',
    id: 'r-1',
    source: '/billing',
    type: 'orders.shipped',
    data: { key: 'a', n: 7 },
    ...more,
  })
  const BATCH = { 'content-type': 'application/cloudevents-batch+json' }
  const emitting = pushing({ emits: [Shipped] })
  const emitted = async ({ world }: Receiver): Promise<readonly unknown[]> =>
    (await world.runtime.messages({ type: 'orders.shipped' })).items

  it('are emitted with the completion, caused by the message', async () => {
    const receiver = await open(emitting, () => ({
      status: 200,
      headers: BATCH,
      body: JSON.stringify([shipped(), shipped({ data: { key: 'b', n: 8 } })]),
    }))

    const [id = ''] = await receiver.world.publish({ key: 'a', n: 1 })
    await receiver.world.pass(100)

    expect(await emitted(receiver)).toMatchObject([
      { id: `${id}.billing.1`, key: 'b' },
      { id: `${id}.billing.0`, key: 'a' },
    ])
  })

  it('in binary mode are read too', async () => {
    const { data, ...attributes } = { data: null, ...shipped() }
    const headers = Object.entries(attributes).map(([name, value]) => [`ce-${name}`, String(value)])
    const receiver = await open(emitting, () => ({
      status: 200,
      headers: { ...Object.fromEntries(headers), 'content-type': 'application/json' },
      body: JSON.stringify(data),
    }))

    await receiver.world.publish({ key: 'a', n: 1 })
    await receiver.world.pass(100)

    expect(await emitted(receiver)).toHaveLength(1)
  })

  it.each([
    ['of a type that is not declared', JSON.stringify([shipped({ type: 'orders.gone' })])],
    ['of an unknown version', JSON.stringify([shipped({ contractversion: '9' })])],
    ['that do not fit their contract', JSON.stringify([shipped({ data: {} })])],
    ['that are none', '[{}]'],
    ['that are no JSON', '[{'],
  ])('%s make a dead letter, and none is emitted', async (_, body) => {
    const receiver = await open(emitting, () => ({ status: 200, headers: BATCH, body }))

    await receiver.world.publish({ key: 'a', n: 1 })
    await receiver.world.pass(10_000)

    expect(receiver.calls).toHaveLength(1)
    expect(await letters(receiver)).toHaveLength(1)
    expect(await emitted(receiver)).toEqual([])
  })

  it('are not read where no contract is declared, nor is another body', async () => {
    const body = JSON.stringify([shipped()])
    const silent = await open(pushing(), () => ({ status: 200, headers: BATCH, body }))
    const plain = await open(emitting, () => ({
      status: 200,
      headers: { 'content-type': 'application/json' },
      body: '{"ok":true}',
    }))
    for (const { world } of [silent, plain]) {
      await world.publish({ key: 'a', n: 1 })
      await world.pass(100)
    }

    expect([await emitted(silent), await emitted(plain)]).toEqual([[], []])
    expect([await letters(silent), await letters(plain)]).toEqual([[], []])
  })
})

describe('the declaration of a push', () => {
  it.each([
    ['a URL that cannot be called', { url: 'billing.internal' }, /push/],
    ['a password in the URL', { url: 'http://a:b@billing.internal' }, /user name or a password/],
    ['a timeout above that of the attempt', { timeout: '31s' }, /push\.timeout/],
    ['a pause above a day', { retryAfterMax: '25h' }, /retryAfterMax/],
    ['an answer above the bound', { answerBytesMax: 2_000_000 }, /answerBytesMax/],
  ] as const)('refuses %s', (_, wrong, message) => {
    expect(() => pushing(wrong)).toThrow(message)
  })

  it('is in the Model, without its secret', () => {
    const { model } = integration('demo', { parts: [pushing({ emits: [Shipped] })] })

    expect(model.consumers).toMatchObject([
      {
        name: 'billing',
        push: { url: 'http://billing.internal:8080/events', emits: ['orders.shipped'] },
      },
    ])
    expect(JSON.stringify(model)).not.toContain(SECRET)
    expect(model.contracts).toHaveLength(2)
  })

  it('is refused at start without its secret', async () => {
    const world = createWorld()
    const started = world.start([pushing({ secret: secret.env('NOT_SET') })])
    await expect(started).rejects.toMatchObject({ code: 'JUNCTURA_SECRET_MISSING' })
  })
})
