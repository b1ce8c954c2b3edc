import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import {
  bearer,
  body,
  call,
  command,
  commandHandler,
  consumer,
  correlate,
  event,
  eventsEndpoint,
  expectation,
  flow,
  header,
  hmac,
  integration,
  route,
  saga,
  schedule,
  secret,
  sql,
  standardWebhooks,
  system,
  team,
  topicSource,
  unsigned,
  webhook,
} from '../contract/index.ts'
import { compileValidator } from '../schema/index.ts'

const schemaAt = (name: string) =>
  JSON.parse(readFileSync(new URL(`../../schemas/${name}`, import.meta.url), 'utf8'))

const shop = team('shop', { oncall: route.pagerDuty({ routingKey: secret.env('PAGER') }) })
const partner = system('partner')
const order = event('orders.changed', {
  owner: shop,
  summary: 'An order changed',
  key: ['orderId', 'line'],
  versions: { 1: { type: 'object' }, 2: { type: 'object' } },
  upcast: { 1: (data: unknown) => data },
  deprecated: { 1: '2027-01-01' },
  idempotency: { key: 'orderId', retention: '7d' },
  pii: ['customer.email'],
})
const answered = event('answers.given', {
  owner: shop,
  key: 'id',
  versions: { 1: { type: 'object' } },
})
const CreateParcel = command('parcels.create', {
  owner: shop,
  input: { type: 'object' },
  output: { type: 'object' },
  errors: { NoCarrier: { type: 'object' } },
  timeout: '1h',
  retry: { attempts: 2, first: '1s', max: '1s' },
})
const policy = {
  owner: shop,
  on: order,
  idempotency: 'transaction',
  retry: { attempts: 3, first: '1s', factor: 2, max: '1m' },
  deadLetter: { alert: route.http({ url: 'https://a.example/x', secret: secret.file('/s') }) },
  afterDeadLetter: 'park',
  replay: 'safe',
} as const
const common = { from: partner, accepts: order, retriesFor: '3d', emit: () => [] } as const
const url = secret.env('BROKER_URL')
const everything = integration('everything', {
  parts: [
    topicSource('kafka', {
      owner: shop,
      from: partner,
      topic: { kafka: url, topic: 't' },
      accepts: { 'com.acme.order': order.version(1) },
      startAt: 'now',
    }),
    topicSource('nats', {
      owner: shop,
      topic: { nats: url, stream: 's', subjects: ['s.>'] },
      accepts: [order],
    }),
    topicSource('rabbitmq', {
      owner: shop,
      topic: { rabbitmq: url, queue: 'q' },
      format: { json: order, id: body('id') },
    }),
    webhook('signed', {
      ...common,
      path: '/signed',
      verify: standardWebhooks({ secret: [secret.env('A'), secret.file('/b')] }),
      version: body('version'),
      idempotency: { key: header('webhook-id'), compare: { fields: ['orderId'] } },
    }),
    webhook('keyed', {
      ...common,
      path: '/keyed',
      verify: hmac({ secret: secret.env('C', { development: 'x'.repeat(32) }), header: 'x-sig' }),
      idempotency: { key: body('id'), mismatch: 'first-wins', inFlight: 'conflict' },
      emit: { 1: () => [], 2: () => [] },
    }),
    webhook('open', {
      ...common,
      path: '/open',
      verify: unsigned({ reason: 'the partner cannot sign' }),
      idempotency: {},
    }),
    consumer('single', { ...policy, filter: () => true, handle: async () => undefined }),
    consumer('batched', {
      ...policy,
      from: { position: 7 },
      was: 'old-name',
      permanent: [RangeError, 'NoStock'],
      batch: { max: 10, maxAge: '1s' },
      handleBatch: async () => undefined,
    }),
    consumer('pushing', {
      ...policy,
      push: { url: 'https://a.example/x', secret: secret.env('P'), emits: [order], timeout: '1s' },
    }),
    eventsEndpoint('events', {
      from: partner,
      accepts: [order],
      verify: bearer({ secret: secret.env('T') }),
    }),
    schedule('nightly', { owner: shop, cron: '0 2 * * *', emits: answered, data: () => ({}) }),
    schedule('once', { owner: shop, at: '2030-01-01T00:00Z', emits: answered, data: () => ({}) }),
    flow('orders', {
      owner: shop,
      summary: 'all of it',
      coordination: 'choreography',
      path: [order, answered],
      expectations: [
        expectation('answered', {
          owner: shop,
          summary: 'in time',
          after: order,
          expect: correlate(answered, () => 'a'),
          undoneBy: correlate(order.version(1), () => undefined),
          within: '1h',
          by: partner,
        }),
      ],
    }),
    commandHandler('parcels', {
      ...policy,
      on: CreateParcel,
      handle: () => Promise.resolve({ parcel: 'a' }),
    }),
    saga('fulfilment', { version: 1, owner: shop, on: answered, uses: [CreateParcel] }, () =>
      Promise.resolve(1),
    ),
    call('lookup', { from: partner, to: system('erp'), style: 'rpc', reason: 'no events there' }),
  ],
  tables: [sql({ sqlite: 'create table effects (id integer primary key)' })],
})

describe('schemas/model.schema.json', () => {
  const validator = compileValidator(schemaAt('model.schema.json'), 'model')

  it('fits a Model in which everything is declared', () => {
    const model: unknown = JSON.parse(JSON.stringify(everything.model))

    expect(validator.validate(model)).toEqual({ ok: true })
  })

  it('refuses a Model that lost a part, has another hash or a consumer without its contract', () => {
    const model = JSON.parse(JSON.stringify(everything.model))
    const { edges: _edges, ...withoutEdges } = model
    const [first] = model.consumers

    expect(validator.validate(withoutEdges).ok).toBe(false)
    expect(validator.validate({ ...model, hash: 'x' }).ok).toBe(false)
    expect(validator.validate({ ...model, consumers: [{ ...first, on: {} }] }).ok).toBe(false)
  })

  it('knows every member of every part, so that a new one is described too', () => {
    const model = JSON.parse(JSON.stringify(everything.model))
    const schema = schemaAt('model.schema.json')
    for (const [list, kind] of [
      ['systems', 'system'],
      ['teams', 'team'],
      ['contracts', 'contract'],
      ['webhooks', 'webhook'],
      ['consumers', 'consumer'],
      ['sagas', 'saga'],
      ['expectations', 'expectation'],
      ['flows', 'flow'],
      ['schedules', 'schedule'],
      ['tables', 'table'],
    ] as const) {
      const known = Object.keys(schema.$defs[kind].properties)
      for (const part of model[list]) {
        expect(Object.keys(part).filter((name) => !known.includes(name))).toEqual([])
      }
    }
    expect(Object.keys(model).sort()).toEqual(Object.keys(schema.properties).sort())
  })
})

describe('schemas/cli-output.schema.json', () => {
  it('refuses another version, an unknown kind and a missing member', () => {
    const validator = compileValidator(schemaAt('cli-output.schema.json'), 'cli-output')
    const good = { schemaVersion: 1, kind: 'emit', type: 't', ids: [] }
    const verdicts = [
      good,
      { ...good, schemaVersion: 2 },
      { ...good, kind: 'nothing' },
      { ...good, ids: undefined },
    ].map((value) => validator.validate(JSON.parse(JSON.stringify(value))).ok)

    expect(verdicts).toEqual([true, false, false, false])
  })
})
