import {
  bearer,
  type Consumer,
  type Contract,
  event,
  eventsEndpoint,
  type EventsEndpointOptions,
  integration,
  jsonSchema,
  type Mismatch,
  secret,
  system,
} from '../contract/index.ts'
import { bodyOfBytes, type IngressResponse } from '../ingress/index.ts'
import type { Runtime } from './runtime-port.ts'
import {
  createWorld,
  effect,
  EFFECTS,
  owners,
  Placed,
  placedConsumer,
  type World,
} from './world.fixture.ts'

export const TOKEN = 'a-token-of-the-shop-program-1234'
export const OLD_TOKEN = 'the-token-before-it-of-the-shop-1'

interface RenamedPayloads {
  readonly 1: { sku: string }
  readonly 2: { item?: string }
}

/** Two versions, and the key has another name in the older one. */
export const Renamed: Contract<'stock.moved', RenamedPayloads, 2> = event('stock.moved', {
  owner: owners,
  key: 'item',
  versions: {
    1: jsonSchema<{ sku: string }>({
      type: 'object',
      required: ['sku'],
      properties: { sku: { type: 'string' } },
    }),
    2: jsonSchema<{ item?: string }>({
      type: 'object',
      properties: { item: { type: 'string' } },
    }),
  },
  compatibility: 'none',
  upcast: { 1: ({ sku }) => ({ item: sku }) },
})

export interface Sending {
  readonly contentType?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly token?: string | undefined
  readonly path?: string
  readonly method?: string
}

export interface Border {
  readonly world: World
  readonly runtime: Runtime
  /** Sends as it is. */
  send(body: unknown, sending?: Sending): Promise<IngressResponse>
  /** Sends one event in binary mode. */
  binary(
    data: unknown,
    attributes?: Readonly<Record<string, string>>,
    sending?: Sending,
  ): Promise<IngressResponse>
}

export const seen: Consumer = placedConsumer('seen', {}, async (order, ctx) => {
  await effect('seen', order, ctx)
})

const byToken = bearer({
  secret: secret.env('EVENTS_TOKENS', { development: `${TOKEN}\n${OLD_TOKEN}` }),
})

export const openBorder = async (
  consumers: readonly Consumer[] = [seen],
  mismatch: Mismatch = 'conflict',
  verify: EventsEndpointOptions['verify'] = byToken,
): Promise<Border> => {
  const world = createWorld()
  const endpoint = eventsEndpoint('events', {
    from: system('shop', { kind: 'internal', owner: owners }),
    accepts: [Placed, Renamed],
    verify,
    eventsMax: 5,
    idempotency: { mismatch },
  })
  const runtime = await world.start(consumers, {
    build: (parts) => integration('demo', { parts: [endpoint, ...parts], tables: [EFFECTS] }),
  })
  const send: Border['send'] = (body, sending = {}) => {
    const { contentType = 'application/json', headers = {}, path = '/events' } = sending
    const token = 'token' in sending ? sending.token : TOKEN
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    return runtime.ingress.handle({
      method: sending.method ?? 'POST',
      target: path,
      rawHeaders: [
        'Content-Type',
        contentType,
        ...(token === undefined ? [] : ['Authorization', `Bearer ${token}`]),
        ...Object.entries(headers).flat(),
      ],
      body: bodyOfBytes(Buffer.from(text)),
      remoteAddress: '127.0.0.1',
    })
  }
  const binary: Border['binary'] = (data, attributes = {}, sending = {}) => {
    const all = { specversion: '1.0', id: '1', source: '/shop', type: Placed.name, ...attributes }
    const named = Object.entries(all).map(([name, value]) => [`ce-${name}`, value])
    const headers = { ...Object.fromEntries(named), ...sending.headers }
    return send(data, { ...sending, headers })
  }
  return { world, runtime, send, binary }
}

export const structured = (data: unknown, more: object = {}): Record<string, unknown> => ({
  specversion: '1.0',
  id: '1',
  source: '/shop',
  type: Placed.name,
  data,
  ...more,
})

export const STRUCTURED: Sending = { contentType: 'application/cloudevents+json; charset=UTF-8' }
export const BATCH: Sending = { contentType: 'application/cloudevents-batch+json' }

export const bodyOf = ({ body }: IngressResponse): Record<string, unknown> => {
  const parsed: unknown = JSON.parse(body)
  return typeof parsed === 'object' && parsed !== null ? { ...parsed } : {}
}
export const codeOf = (response: IngressResponse): string =>
  `${response.status} ${String(bodyOf(response)['code'])}`
