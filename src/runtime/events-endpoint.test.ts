import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  bearer,
  type ConsumerContext,
  eventsEndpoint,
  integration,
  secret,
  system,
  unsigned,
} from '../contract/index.ts'
import { bodyOfBytes, type IngressResponse } from '../ingress/index.ts'
import { inspectDisk } from '../store/memory/index.ts'
import {
  BATCH,
  bodyOf,
  codeOf,
  OLD_TOKEN,
  openBorder,
  Renamed,
  seen,
  STRUCTURED,
  structured,
  TOKEN,
} from './events-endpoint.fixture.ts'
import { createWorld, EFFECTS, owners, Placed } from './world.fixture.ts'

describe('an event over HTTP', () => {
  it('in binary mode is durable before the answer, and handled with its data (M14)', async () => {
    const { world, binary } = await openBorder()

    const answer = await binary({ key: 'a', n: 1 }, { correlationid: 'c-1' })
    await world.pass(1_000)

    expect(answer.status).toBe(202)
    expect(bodyOf(answer)).toEqual({ id: expect.stringMatching(/^msg_/), status: 'accepted' })
    expect(await world.effects()).toEqual(['a:1'])
    const message = await world.runtime.message(String(bodyOf(answer)['id']))
    expect(message?.envelope).toMatchObject({
      type: 'orders.placed',
      correlationid: 'c-1',
      partitionkey: 'a',
      idempotencykey: '/shop 1',
    })
  })

  it('is one message in every content mode: a repeat in another is a repeat (M5)', async () => {
    const { world, send, binary } = await openBorder()
    const data = { key: 'a', n: 1 }

    const first = await binary(data)
    const second = await send(structured(data), STRUCTURED)
    const third = await send([structured(data)], BATCH)
    await world.pass(1_000)

    expect([first.status, second.status, third.status]).toEqual([202, 200, 200])
    const { id } = bodyOf(first)
    expect(bodyOf(second)).toEqual({ id, status: 'duplicate' })
    expect(bodyOf(third)).toMatchObject({ results: [{ index: 0, status: 'duplicate', id }] })
    expect(await world.effects()).toEqual(['a:1'])
  })

  it('W20: 50 sends at once of one event are one message', async () => {
    const { world, binary } = await openBorder()

    const answers = await Promise.all(Array.from({ length: 50 }, () => binary({ key: 'a', n: 1 })))
    await world.pass(1_000)

    expect(answers.filter(({ status }) => status === 202)).toHaveLength(1)
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(49)
    expect(await world.effects()).toEqual(['a:1'])
  })

  it('with the id of another is a conflict, also where only the type differs', async () => {
    const { binary, runtime } = await openBorder()
    const data = { key: 'a', n: 1, item: 'a' }
    await binary(data)

    const other = await binary({ key: 'a', n: 2 })
    const otherType = await binary(data, { type: 'stock.moved.v2' })
    const otherSource = await binary({ key: 'a', n: 2 }, { source: '/other' })

    expect(codeOf(other)).toBe('409 JUNCTURA_KEY_CONFLICT')
    expect(codeOf(otherType)).toBe('409 JUNCTURA_KEY_CONFLICT')
    expect(otherSource.status).toBe(202)
    expect((await runtime.invalid({})).items).toHaveLength(2)
  })

  it('keeps numbers as they were written, which parsing would round (F49)', async () => {
    const { world, send, runtime } = await openBorder()
    const stored: Uint8Array[] = []
    inspectDisk(world.disk).onApplied(({ records }) => {
      stored.push(...records.map(({ bytes }) => bytes))
    })
    const text = '{"key": "a", "n": 1.0, "big": 9007199254740993}'

    const answer = await send(JSON.stringify(structured(0)).replace(':0', `: ${text} `), STRUCTURED)

    const message = await runtime.message(String(bodyOf(answer)['id']))
    expect(answer.status).toBe(202)
    expect(message?.payload).toEqual({ key: 'a', n: 1, big: 9007199254740992 })
    // Once: the data that was sent is the data of the event.
    expect(Buffer.concat(stored).toString().split(text)).toHaveLength(2)
  })

  it.each([
    ['no specversion', { specversion: '0.3' }, '400 JUNCTURA_EVENT_INVALID'],
    ['a time that is none', { time: 'today' }, '400 JUNCTURA_EVENT_INVALID'],
    ['an overlong escape', { subject: '%C0%A0' }, '400 JUNCTURA_EVENT_INVALID'],
    ['an unknown type', { type: 'orders.gone' }, '422 JUNCTURA_EVENT_TYPE_UNKNOWN'],
    ['an unknown version', { contractversion: '9' }, '422 JUNCTURA_VERSION_UNKNOWN'],
    [
      'two versions',
      { contractversion: '1', type: 'orders.placed.v2' },
      '422 JUNCTURA_VERSION_UNKNOWN',
    ],
    ['a key that its data does not have', { type: 'stock.moved.v2' }, '422 JUNCTURA_BODY_INVALID'],
    ['an id that is no key', { id: 'x'.repeat(600) }, '422 JUNCTURA_KEY_UNUSABLE'],
  ])('F54: with %s is refused', async (_, attributes, answer) => {
    const { binary, world } = await openBorder()

    expect(codeOf(await binary({ key: 'a', n: 1 }, attributes))).toBe(answer)
    await world.pass(1_000)
    expect(await world.effects()).toEqual([])
  })

  it.each([
    ['no JSON', '{"torn"', STRUCTURED, '400 JUNCTURA_BODY_SYNTAX'],
    ['no event', '{}', STRUCTURED, '400 JUNCTURA_EVENT_INVALID'],
    ['a list as one event', '[]', STRUCTURED, '400 JUNCTURA_EVENT_INVALID'],
    ['no list as batch', '{}', BATCH, '400 JUNCTURA_EVENT_INVALID'],
    [
      'another format',
      '{}',
      { contentType: 'application/cloudevents+avro' },
      '415 JUNCTURA_CONTENT_TYPE',
    ],
    [
      'other data than JSON',
      structured('<a/>', { datacontenttype: 'text/xml' }),
      STRUCTURED,
      '415 JUNCTURA_CONTENT_TYPE',
    ],
    [
      'no data',
      { specversion: '1.0', id: '1', source: '/shop', type: Placed.name },
      STRUCTURED,
      '400 JUNCTURA_BODY_SYNTAX',
    ],
    [
      'other data than its contract',
      structured({ key: 'a' }),
      STRUCTURED,
      '422 JUNCTURA_BODY_INVALID',
    ],
  ])('F54: %s is refused', async (_, body, sending, answer) => {
    const { send } = await openBorder()
    expect(codeOf(await send(body, { ...sending }))).toBe(answer)
  })

  it('F54: one whose attribute came twice is refused', async () => {
    const { send } = await openBorder()
    const headers = { 'ce-id': '1', 'CE-Id': '2' }
    expect(codeOf(await send({ key: 'a', n: 1 }, { headers }))).toBe('400 JUNCTURA_EVENT_INVALID')
  })

  it('in base64 is taken as the JSON that it is', async () => {
    const { world, send } = await openBorder()
    const { data: _, ...rest } = structured(undefined)
    const data_base64 = Buffer.from('{"key":"a","n":7}').toString('base64')

    const plain = await send({ ...rest, data_base64 }, STRUCTURED)
    const typed = await send({ ...rest, data_base64, datacontenttype: 'text/json' }, STRUCTURED)
    await world.pass(1_000)

    expect(codeOf(plain)).toBe('415 JUNCTURA_CONTENT_TYPE')
    expect(typed.status).toBe(202)
    expect(await world.effects()).toEqual(['a:7'])
  })

  it('of an older version is lifted, however it says its version', async () => {
    const { binary, runtime, world } = await openBorder()

    const byType = await binary({ sku: 'x' }, { type: 'stock.moved.v1', id: '1' })
    const bySchema = await binary(
      { sku: 'x' },
      { type: 'stock.moved', id: '2', dataschema: 'https://schemas.example.com/stock.moved/1' },
    )
    const unsaid = await binary({ sku: 'x' }, { type: 'stock.moved', id: '3' })
    await world.pass(100)

    expect([byType.status, bySchema.status]).toEqual([202, 202])
    expect(codeOf(unsaid)).toBe('422 JUNCTURA_VERSION_UNKNOWN')
    const message = await runtime.message(String(bodyOf(byType)['id']))
    expect(message?.envelope).toMatchObject({ contractversion: 2, partitionkey: 'x' })
  })

  it('carries its own trace on, and otherwise that of the request', async () => {
    const { binary, runtime } = await openBorder()
    const own = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
    const ofRequest = '00-11111111111111111111111111111111-2222222222222222-01'
    const headers = { traceparent: ofRequest }

    const first = await binary({ key: 'a', n: 1 }, { traceparent: own }, { headers })
    const second = await binary({ key: 'a', n: 1 }, { id: '2' }, { headers })

    const traceOf = async (answer: IngressResponse): Promise<string> =>
      JSON.stringify((await runtime.message(String(bodyOf(answer)['id'])))?.envelope)
    expect(await traceOf(first)).toContain('0af7651916cd43dd8448eb211c80319c')
    expect(await traceOf(second)).toContain('11111111111111111111111111111111')
  })
})

describe('the token of an events endpoint', () => {
  it.each([undefined, 'wrong', `${TOKEN}x`, ''])(
    'refuses %j, and stores nothing',
    async (token) => {
      const { binary, world } = await openBorder()

      const answer = await binary({ key: 'a', n: 1 }, {}, { token })

      expect(codeOf(answer)).toBe('401 JUNCTURA_SIGNATURE_REFUSED')
      expect(answer.headers['www-authenticate']).toBe('Bearer')
      expect(await world.runtime.invalid({})).toMatchObject({ items: [] })
    },
  )

  it('may be any of those that are valid while one is rotated', async () => {
    const { binary } = await openBorder()

    const [fresh, old] = [TOKEN, OLD_TOKEN].map((token, n) =>
      binary({ key: 'a', n: 1 }, { id: String(n) }, { token }),
    )

    expect([(await fresh)?.status, (await old)?.status]).toEqual([202, 202])
  })

  it('can make no event of another program vanish: an id that is taken with other data is refused and told', async () => {
    const { world, runtime, binary } = await openBorder()
    const own = { key: 'a', n: 1 }

    const taken = await binary({ key: 'a', n: 666 }, {}, { token: OLD_TOKEN })
    const refused = await binary(own)
    const mine = await binary(own, { id: '2' })
    const renewed = await binary(own, { id: '2' }, { token: OLD_TOKEN })
    await world.pass(1_000)

    expect([taken.status, codeOf(refused)]).toEqual([202, '409 JUNCTURA_KEY_CONFLICT'])
    const { items } = await runtime.alerts({})
    expect(items).toMatchObject([{ kind: 'conflict', state: 'open' }])
    // One program that changes its token between a send and the repeat: that is one event.
    expect([mine.status, renewed.status]).toEqual([202, 200])
    expect(await world.effects()).toEqual(['a:666', 'a:1'])
  })

  it('is of one endpoint: at another one, ids are remembered apart', async () => {
    const at = (name: string) =>
      eventsEndpoint(name, {
        from: system(name, { kind: 'internal', owner: owners }),
        path: `/${name}`,
        accepts: [Placed],
        verify: bearer({ secret: secret.env('T', { development: TOKEN }) }),
      })
    const world = createWorld()
    const runtime = await world.start([seen], {
      build: (parts) =>
        integration('demo', { parts: [at('shop'), at('desk'), ...parts], tables: [EFFECTS] }),
    })
    const answers = []
    for (const [path, n] of [
      ['/shop', 1],
      ['/desk', 2],
    ] as const) {
      const rawHeaders = ['Content-Type', 'application/cloudevents+json']
      const answer = await runtime.ingress.handle({
        method: 'POST',
        target: path,
        rawHeaders: [...rawHeaders, 'Authorization', `Bearer ${TOKEN}`],
        body: bodyOfBytes(Buffer.from(JSON.stringify(structured({ key: 'a', n })))),
        remoteAddress: '127.0.0.1',
      })
      answers.push(answer.status)
    }
    await world.pass(1_000)

    expect(answers).toEqual([202, 202])
    expect(await world.effects()).toEqual(['a:1', 'a:2'])
  })

  it('lets its program ask what became of an event, by our id or by source and id', async () => {
    const { binary, send, world } = await openBorder()
    const { id } = bodyOf(await binary({ key: 'a', n: 1 }))
    await world.pass(1_000)

    const ask = (path: string, token?: string): Promise<IngressResponse> =>
      send('', { path, method: 'GET', token: token ?? TOKEN })
    const byId = await ask(`/events/messages/${String(id)}`)
    const byKey = await ask(`/events/messages/${encodeURIComponent('/shop 1')}`)

    expect(bodyOf(byId)).toMatchObject({ id, key: '/shop 1', outcome: 'delivered' })
    expect(bodyOf(byKey)).toEqual(bodyOf(byId))
    expect((await ask(`/events/messages/${String(id)}`, 'wrong')).status).toBe(401)
  })
})

describe('a batch of events', () => {
  const one = (n: number, more: object = {}): object =>
    structured({ key: 'a', n }, { id: String(n), ...more })

  it('is taken whole, in its order for each key', async () => {
    const { world, send } = await openBorder()

    const answer = await send(
      [5, 3, 4, 1, 2].map((n) => one(n)),
      BATCH,
    )
    await world.pass(1_000)

    expect(answer.status).toBe(202)
    expect(bodyOf(answer)).toMatchObject({ accepted: 5, duplicate: 0, refused: 0 })
    expect(await world.effects()).toEqual(['a:5', 'a:3', 'a:4', 'a:1', 'a:2'])
  })

  it('F54: is taken but for what is wrong, and the answer says of each what became of it', async () => {
    const { world, send } = await openBorder()
    await send([one(1)], BATCH)

    const batch = [
      one(1),
      one(2),
      { no: 'event' },
      one(4, { data: { key: 'a' } }),
      one(1, { data: { key: 'a', n: 9 } }),
    ]
    const answer = await send(batch, BATCH)
    await world.pass(1_000)

    expect(codeOf(answer)).toBe('422 JUNCTURA_BATCH_REFUSED')
    expect(bodyOf(answer)).toMatchObject({
      accepted: 1,
      duplicate: 1,
      refused: 3,
      results: [
        { index: 0, status: 'duplicate' },
        { index: 1, status: 'accepted', id: expect.stringMatching(/^msg_/) },
        { index: 2, status: 'refused', problem: { code: 'JUNCTURA_EVENT_INVALID' } },
        { index: 3, status: 'refused', problem: { code: 'JUNCTURA_BODY_INVALID' } },
        { index: 4, status: 'refused', problem: { code: 'JUNCTURA_KEY_CONFLICT' } },
      ],
    })
    expect(await world.effects()).toEqual(['a:1', 'a:2'])
  })

  it('keeps the order of a key where the first of two takes longer', async () => {
    const { world, send } = await openBorder([seen], 'accept-as-new')
    await send([one(1)], BATCH)

    // Its id is taken, so it is looked at twice.
    await send([one(1, { data: { key: 'a', n: 9 } }), one(2)], BATCH)
    await world.pass(1_000)

    expect(await world.effects()).toEqual(['a:1', 'a:9', 'a:2'])
  })

  it('keeps the order of a key where an older version hides it', async () => {
    const keys: (string | undefined)[] = []
    const moved = {
      ...seen,
      on: Renamed,
      handle: async (_: unknown, { message }: ConsumerContext): Promise<void> => {
        keys.push(message.envelope.idempotencykey?.slice('/shop '.length))
      },
    }
    const { world, send } = await openBorder([moved])
    const move = (id: string, data: object, version: number): object => ({
      ...structured(data, { id, type: `stock.moved.v${version}` }),
    })

    await send(
      [move('1', { sku: 'x' }, 1), move('2', { item: 'x' }, 2), move('3', { sku: 'x' }, 1)],
      BATCH,
    )
    await world.pass(1_000)

    expect(keys).toEqual(['1', '2', '3'])
  })

  it('is answered of each event also where a single one is answered without a body', async () => {
    const answer = { accepted: 204, duplicate: 204 }
    const open = unsigned({ reason: 'a network of its own', answer })
    const { send } = await openBorder([seen], 'conflict', open)
    const first = await send([one(1)], BATCH)
    const second = await send([one(1), one(2)], BATCH)

    expect([first.status, bodyOf(first)['accepted']]).toEqual([202, 1])
    expect(bodyOf(second)).toMatchObject({ accepted: 1, duplicate: 1, refused: 0 })
    expect((await send(one(3), STRUCTURED)).status).toBe(204)
  })

  it('may be empty, and no larger than the endpoint says', async () => {
    const { send } = await openBorder()

    const none = await send([], BATCH)
    const six = await send(
      [1, 2, 3, 4, 5, 6].map((n) => one(n)),
      BATCH,
    )

    expect([none.status, bodyOf(none)['results']]).toEqual([200, []])
    expect(codeOf(six)).toBe('413 JUNCTURA_BATCH_TOO_LARGE')
  })
})

describe('whatever is sent', () => {
  const odd = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 40 }),
    fc.constantFrom('__proto__', 'constructor', 'toString', '\r\nx: y', '%0d%0a', '\ud800', '\0'),
  )
  const attribute = fc.oneof(
    fc.constantFrom('id', 'source', 'type', 'time', 'subject', 'data', 'data_base64', 'dataschema'),
    fc.constantFrom('datacontenttype', 'contractversion', 'traceparent', 'partitionkey', 'x'),
    odd,
  )
  const value = fc.oneof(
    odd,
    fc.constantFrom(Placed.name, `${Placed.name}.v9`, '1'),
    fc.jsonValue(),
  )
  const document = fc
    .tuple(fc.dictionary(attribute, value, { maxKeys: 8 }), fc.boolean())
    .map(([members, isWhole]) => ({ ...(isWhole && structured({ key: 'a', n: 1 })), ...members }))
  const body = fc.oneof(
    document.map((one) => [STRUCTURED, JSON.stringify(one)] as const),
    fc.array(document, { maxLength: 6 }).map((all) => [BATCH, JSON.stringify(all)] as const),
    fc.tuple(fc.constantFrom(STRUCTURED, BATCH), odd),
  )

  it('F54: is taken or refused, and never fails on our side', async () => {
    const { send, binary } = await openBorder()
    await fc.assert(
      fc.asyncProperty(body, async ([mode, text]) => {
        expect((await send(text, mode)).status).toBeLessThan(500)
      }),
      { numRuns: 300 },
    )
    await fc.assert(
      fc.asyncProperty(fc.dictionary(attribute, odd, { maxKeys: 6 }), odd, async (more, text) => {
        expect((await binary(text, more)).status).toBeLessThan(500)
      }),
      { numRuns: 300 },
    )
  })
})
