import { describe, expect, it } from 'vitest'
import {
  body,
  type Consumer,
  event,
  integration,
  type Integration,
  jsonSchema,
  system,
  unsigned,
  webhook,
  type Webhook,
} from '../contract/index.ts'
import { silentLogger } from '../kernel/index.ts'
import { bodyOfBytes, type IngressResponse } from '../ingress/index.ts'
import { METRICS } from '../observe/index.ts'
import type { RuntimeOptions } from './create-runtime.ts'
import type { RuntimeEvent } from './events.ts'
import type { Runtime } from './runtime-port.ts'
import { createWorld, owners, Placed, placedConsumer, type World } from './world.fixture.ts'

interface Said {
  readonly id: string
  readonly n?: number
}

const Said = event('partner.said', {
  owner: owners,
  key: 'id',
  versions: {
    1: jsonSchema<Said>({
      type: 'object',
      required: ['id'],
      properties: { id: { type: 'string' }, n: { type: 'integer' } },
    }),
  },
})

/** Makes an order of what the partner says; throws on `broken`. */
const partnerHook = (mood: { isBroken: boolean } = { isBroken: false }): Webhook =>
  webhook('partner', {
    from: system('partner', { owner: owners }),
    path: '/webhooks/partner',
    verify: unsigned({ reason: 'a test' }),
    accepts: Said,
    retriesFor: '1h',
    idempotency: { key: body('id'), retention: '7d' },
    emit: ({ id, n }) => {
      if (mood.isBroken) throw new RangeError('no order in it')
      return Placed.of({ key: id, n: n ?? 0 })
    },
  })

interface Border {
  readonly world: World
  readonly runtime: Runtime
  readonly events: RuntimeEvent[]
  send(data: unknown, address?: string, forwardedFor?: string): Promise<IngressResponse>
}

const openBorder = async (
  options: Pick<RuntimeOptions, 'ratePerAddress' | 'trustedProxies' | 'log'> & {
    readonly hook?: Webhook
    readonly consumers?: readonly Consumer[]
  } = {},
): Promise<Border> => {
  const { hook = partnerHook(), consumers = [], ...rest } = options
  const world = createWorld()
  const runtime = await world.start(consumers, {
    ...rest,
    build: (parts) => integration('demo', { parts: [hook, ...parts] }),
  })
  const events: RuntimeEvent[] = []
  runtime.events.subscribe({ listener: (one) => void events.push(one) })
  return {
    world,
    runtime,
    events,
    send: (data, remoteAddress = '127.0.0.1', forwardedFor) =>
      runtime.ingress.handle({
        method: 'POST',
        target: hook.path,
        rawHeaders: [
          'content-type',
          'application/json',
          ...(forwardedFor === undefined ? [] : ['X-Forwarded-For', forwardedFor]),
        ],
        body: bodyOfBytes(Buffer.from(JSON.stringify(data))),
        remoteAddress,
      }),
  }
}

describe('the rate per address', () => {
  it('turns away what one address sends beyond it with 429 and Retry-After, and others not (F95)', async () => {
    const { runtime, send } = await openBorder({ ratePerAddress: { perSecond: 0.5, burst: 1 } })

    const first = await send({ id: 'a' })
    const second = await send({ id: 'b' })
    const other = await send({ id: 'c' }, '127.0.0.2')

    expect([first.status, second.status, other.status]).toEqual([202, 429, 202])
    expect(second.headers['retry-after']).toBe('2')
    expect((await runtime.overview()).refused).toBe(1)
  })

  it('is none unless one is given, so that a burst of one partner is taken', async () => {
    const { send } = await openBorder()
    const ids = Array.from({ length: 200 }, (_, n) => ({ id: `burst-${n}` }))

    const answers = await Promise.all(ids.map((one) => send(one)))

    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([202]))
  })

  it('is refused at the start when it lets nothing through, with the field and what is allowed', async () => {
    await expect(openBorder({ ratePerAddress: { perSecond: 0 } })).rejects.toMatchObject({
      code: 'JUNCTURA_POLICY_RANGE',
      details: { field: 'ratePerAddress.perSecond' },
    })
  })
})

describe('behind a trusted proxy', () => {
  it('the rate is of each sender, whatever it writes into the header itself (F102)', async () => {
    const { send } = await openBorder({
      ratePerAddress: { perSecond: 0.5, burst: 1 },
      trustedProxies: ['10.0.0.0/8'],
    })
    const one = '198.51.100.1'
    // The proxy appends what it saw to what the sender wrote.
    const answers = [
      await send({ id: 'a' }, '10.0.0.1', one),
      await send({ id: 'b' }, '10.0.0.2', `203.0.113.9, ${one}`),
      await send({ id: 'c' }, '10.0.0.1', `10.0.0.9, ${one}:4711`),
      await send({ id: 'd' }, '10.0.0.1', '198.51.100.2'),
      // Not through the proxy: the header is not read.
      await send({ id: 'e' }, one, '198.51.100.3'),
      await send({ id: 'f' }, '198.51.100.4', one),
    ]

    expect(answers.map(({ status }) => status)).toEqual([202, 429, 429, 202, 429, 202])
  })

  it('a refusal is told with the address of the sender (F102)', async () => {
    const addresses: unknown[] = []
    const warn = (fields: object): void => {
      if ('address' in fields) addresses.push(fields.address)
    }
    const { send } = await openBorder({
      ratePerAddress: { perSecond: 0.5, burst: 1 },
      trustedProxies: ['10.0.0.0/8'],
      log: { ...silentLogger, warn },
    })

    await send({ id: 'a' }, '10.0.0.1', '198.51.100.1')
    await send({ id: 'b' }, '10.0.0.1', '198.51.100.1')

    expect(addresses).toEqual(['198.51.100.1'])
  })

  it('forwarded headers are not read unless one is declared (F102)', async () => {
    const { send } = await openBorder({ ratePerAddress: { perSecond: 0.5, burst: 1 } })

    const first = await send({ id: 'a' }, '10.0.0.1', '198.51.100.1')
    const second = await send({ id: 'b' }, '10.0.0.1', '198.51.100.2')

    expect([first.status, second.status]).toEqual([202, 429])
  })

  it('a range that trusts everybody is refused at the start', async () => {
    await expect(openBorder({ trustedProxies: ['0.0.0.0/0'] })).rejects.toMatchObject({
      code: 'JUNCTURA_POLICY_RANGE',
      details: { field: 'trustedProxies[0]' },
    })
  })
})

describe('the events of the border', () => {
  it('are one for a used key with other content, which names the key, both messages and the cure', async () => {
    const { runtime, events, send } = await openBorder()
    await send({ id: 'a', n: 1 })
    const [first] = (await runtime.messages({})).items

    const refused = await send({ id: 'a', n: 2 })

    expect(refused.status).toBe(409)
    const [kept] = (await runtime.invalid({})).items
    expect(events.filter(({ kind }) => kind === 'invalid')).toMatchObject([
      {
        webhook: 'partner',
        invalidId: kept?.id,
        reason: `the key a was used with other content by ${first?.id}`,
      },
    ])
  })

  it('are one for an invalid request', async () => {
    const { events, send } = await openBorder()

    expect((await send({ id: 'a', n: 'one' })).status).toBe(422)

    expect(events.filter(({ kind }) => kind === 'invalid')).toMatchObject([{ reason: 'schema' }])
  })

  it('carry the key of what was published', async () => {
    const { world, events } = await openBorder()

    await world.publish({ key: 'k-1', n: 1 }, { key: 'k-2', n: 2 })

    expect(events.filter(({ kind }) => kind === 'published')).toMatchObject([
      { type: 'orders.placed', key: 'k-1' },
      { type: 'orders.placed', key: 'k-2' },
    ])
  })
})

describe('dead letters of a transform', () => {
  it('are in the gauge, the health figures and the overview until they are dealt with', async () => {
    const mood = { isBroken: true }
    const { world, runtime, send } = await openBorder({ hook: partnerHook(mood) })
    const open = () => gaugePoints(runtime)

    expect(open()).toEqual([{ consumer: 'partner', stage: 'transform', value: 0 }])
    for (const id of ['a', 'b', 'c']) expect(await send({ id })).toMatchObject({ status: 202 })
    expect(open()).toEqual([{ consumer: 'partner', stage: 'transform', value: 3 }])
    expect(runtime.metrics.read(METRICS.deadLetterVolume)).toMatchObject({ points: [{ value: 3 }] })
    expect(await runtime.overview()).toMatchObject({
      status: 'degraded',
      reasons: ['the transform of partner has 3 open dead letters'],
      deadLettersOpen: 3,
    })

    const { items } = await runtime.deadLetters({})
    const ids = items.map(({ id }) => id)
    await world.operate({ kind: 'dead-letter.drop', ids: ids.slice(0, 1) })
    expect(open()).toMatchObject([{ value: 2 }])
    await world.operate({ kind: 'dead-letter.retry', ids: ids.slice(1) })
    expect(open()).toMatchObject([{ value: 2 }])
    mood.isBroken = false
    await world.operate({ kind: 'dead-letter.retry', ids: ids.slice(1) })
    expect(open()).toMatchObject([{ value: 0 }])
    expect(await runtime.overview()).toMatchObject({ status: 'ok', reasons: [] })
  })

  it('are counted again after a restart, apart from those of a consumer with the same name', async () => {
    const hook = partnerHook({ isBroken: true })
    const fails = () => Promise.reject(new RangeError('no room'))
    const quick = { retry: { attempts: 1, first: '1s', max: '1s' } } as const
    const consumers = [placedConsumer('partner', quick, fails)]
    const build = (): Integration => integration('demo', { parts: [hook, ...consumers] })
    const { world, send } = await openBorder({ hook, consumers })
    await send({ id: 'a' })
    await send({ id: 'b' })
    await world.publish({ key: 'k', n: 1 })
    await world.runtime.idle()
    await world.runtime.close()

    await world.start(consumers, { build })

    expect(gaugePoints(world.runtime)).toEqual([
      { consumer: 'partner', stage: 'handler', value: 1 },
      { consumer: 'partner', stage: 'transform', value: 2 },
    ])
  })
})

const gaugePoints = ({ metrics }: Runtime): readonly object[] => {
  const family = metrics.read(METRICS.deadLettersOpen)
  return family.kind === 'number'
    ? family.points.map(({ labels, value }) => ({ ...labels, value }))
    : []
}

describe('the gauges of keys that wait', () => {
  it('tell those that wait for a person from those that wait for a retry', async () => {
    const retry = { attempts: 2, first: '1s', max: '1s', jitter: 'none' } as const
    const one = placedConsumer('one', { retry, permanent: ['RangeError'] }, async ({ n }) => {
      if (n === 1) throw new RangeError('for a person')
      throw new Error('for a retry')
    })
    const { world, runtime } = await openBorder({ consumers: [one] })
    const waiting = () =>
      [METRICS.parkedLanes, METRICS.retryingLanes].map((definition) => {
        const family = runtime.metrics.read(definition)
        return family.kind === 'number' ? family.points[0]?.value : undefined
      })

    await world.publish({ key: 'a', n: 1 }, { key: 'b', n: 2 }, { key: 'c', n: 2 })
    await world.pass(100)
    expect(waiting()).toEqual([1, 2])
    await world.pass(60_000)
    expect(waiting()).toEqual([3, 0])
  })
})
