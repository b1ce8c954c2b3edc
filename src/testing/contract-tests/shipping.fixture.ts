import {
  body,
  consumer,
  type ConsumerPolicy,
  event,
  github,
  header,
  hmac,
  type Integration,
  integration,
  jsonSchema,
  route,
  secret,
  signatureScheme,
  sql,
  standardWebhooks,
  stripe,
  system,
  team,
  unsigned,
  webhook,
} from '../../contract/index.ts'
import { retryPresets } from '../../policy/index.ts'

/**
 * An integration of another shape than the example's: other schemes, raw JSON Schema, every rule
 * of a webhook and a consumer at least once.
 */

interface Payment {
  readonly id: string
  readonly account: string
  readonly cents: number
  readonly note?: string
}

const paymentSchema = jsonSchema<Payment>({
  type: 'object',
  required: ['id', 'account', 'cents'],
  properties: {
    id: { type: 'string', format: 'uuid' },
    account: { type: 'string', pattern: '^acc_[0-9a-f]{8}$' },
    cents: { type: 'integer', minimum: 1, maximum: 500 },
    note: { type: 'string' },
  },
  additionalProperties: false,
})

const money = team('money', {
  oncall: route.http({ url: 'https://pager.example/x', secret: secret.file('/run/pager') }),
})
const partner = system('partner')

const Push = event('code.pushed', {
  owner: money,
  versions: { 1: jsonSchema<{ ref: string }>({ type: 'object', required: ['ref'] }) },
  retention: '40d',
})

const Paid = event('payments.paid', {
  owner: money,
  key: 'account',
  versions: { 1: paymentSchema },
  idempotency: { key: 'id', retention: '7d' },
})

/** No key and no order. */
const Noticed = event('notices.noticed', {
  owner: money,
  versions: { 1: jsonSchema<{ text: string }>({ type: 'object' }) },
})

const Ticked = event('ticks.ticked', {
  owner: money,
  key: 'symbol',
  guarantee: 'at-most-once',
  versions: {
    1: jsonSchema<{ symbol: string; price: number }>({
      type: 'object',
      required: ['symbol', 'price'],
      properties: { symbol: { type: 'string' }, price: { type: 'number' } },
    }),
  },
})

const Parcel = event('parcels.sent', {
  owner: money,
  key: 'parcel',
  versions: {
    1: jsonSchema<{ parcel: number }>({
      type: 'object',
      required: ['parcel'],
      properties: { parcel: { type: 'integer' } },
    }),
    2: jsonSchema<{ parcel: number; grams: number }>({
      type: 'object',
      required: ['parcel', 'grams'],
      properties: { parcel: { type: 'integer' }, grams: { enum: [100, 200, 300] } },
    }),
  },
  upcast: { 1: ({ parcel }) => ({ parcel, grams: 100 }) },
})

const policy: ConsumerPolicy = {
  owner: money,
  idempotency: 'transaction',
  retry: { attempts: 3, first: '1s', max: '10s', jitter: 'none' },
  deadLetter: { alert: money.oncall },
  afterDeadLetter: 'park',
  replay: 'safe',
}

/** What the consumers did to the world outside; it outlives the processes of a test. */
export const calls: string[] = []

export const shipping: Integration = integration('shipping', {
  parts: [
    webhook('payments', {
      from: partner,
      path: '/payments',
      verify: stripe({
        secret: secret.env('STRIPE_SECRET'),
        tolerance: { past: '10m', future: 0 },
      }),
      accepts: Paid,
      idempotency: {
        key: body('id'),
        compare: { fields: ['account', 'cents'] },
        mismatch: 'first-wins',
      },
      retriesFor: '3d',
      emit: (payment) => Paid.of(payment),
    }),
    webhook('pushes', {
      from: partner,
      path: '/pushes',
      verify: github({ secret: [secret.file('/run/github'), secret.env('GITHUB_OLD')] }),
      accepts: Push,
      idempotency: { key: header('x-github-delivery'), mismatch: 'accept-as-new' },
      retriesFor: '8h',
      bodyBytesMax: 2_000,
      emit: () => [],
    }),
    webhook('parcels', {
      from: partner,
      path: '/parcels',
      verify: hmac({
        secret: secret.env('PARCEL_SECRET'),
        header: 'x-signature',
        algorithm: 'hmac-sha512',
        encoding: 'base64',
        signed: '{timestamp}:{body}',
        timestamp: { header: 'x-timestamp', unit: 'ms' },
        answer: { accepted: 204, duplicate: 204 },
      }),
      accepts: Parcel,
      version: header('x-version'),
      idempotency: { key: header('x-request-id'), inFlight: 'conflict' },
      retriesFor: '1h',
      emit: (parcel) => [Parcel.of(parcel), Ticked.of({ symbol: 'parcel', price: 1 })],
    }),
    webhook('open', {
      from: partner,
      path: '/open',
      verify: unsigned({ reason: 'the thermometer cannot sign' }),
      accepts: Noticed,
      idempotency: {},
      retriesFor: '1h',
      emit: (notice) => Noticed.of(notice),
    }),
    webhook('keyed', {
      from: partner,
      path: '/keyed',
      verify: standardWebhooks({ secret: secret.env('KEYED') }),
      accepts: Noticed,
      idempotency: { key: header('webhook-id') },
      retriesFor: '1h',
      emit: (notice) => Noticed.of(notice),
    }),
    webhook('asymmetric', {
      from: partner,
      path: '/asymmetric',
      verify: signatureScheme(
        {
          name: 'asymmetric',
          headers: [{ signature: 'x-proof', timestamp: 'x-time' }],
          format: { kind: 'comma-list' },
          versions: [{ label: 'e1', algorithm: 'ed25519', encoding: 'hex' }],
          signed: '{timestamp}.{body}',
          timestampUnit: 's',
          secretForms: [{ prefix: 'pub_', encoding: 'hex', use: 'ed25519-public' }],
          secretSeparator: 'whitespace',
        },
        { secret: secret.env('ASYMMETRIC') },
      ),
      accepts: Noticed,
      idempotency: { key: body('text') },
      retriesFor: '1h',
      emit: () => undefined,
    }),
    consumer('bookkeeping', {
      ...policy,
      on: Paid,
      from: { position: 100 },
      retry: retryPresets.patient,
      batch: { max: 10, maxAge: '2s' },
      handleBatch: async (items, ctx) => {
        await ctx.tx(async (db) => {
          for (const { data, message } of items) {
            await db.run('insert into booked values ($1, $2)', data.account, message.id)
          }
        })
      },
    }),
    consumer('mailer', {
      ...policy,
      on: Paid,
      idempotency: 'once',
      retry: { attempts: 2, first: 0, max: '1s' },
      afterDeadLetter: 'skip',
      replay: 'never',
      // Only some payments are worth a mail.
      filter: ({ cents }) => cents > 50,
      handle: async ({ id }, ctx) => {
        await ctx.once('mail', () => {
          calls.push(id)
          return Promise.resolve('sent')
        })
      },
    }),
    consumer('noticeboard', {
      ...policy,
      on: Noticed,
      idempotency: 'natural',
      retry: retryPresets.none,
      ordering: 'none',
      replay: 'guarded',
      handle: () => Promise.resolve(),
    }),
    consumer('ticker', {
      ...policy,
      on: Ticked,
      idempotency: 'natural',
      handle: () => Promise.resolve(),
    }),
    consumer('scales', {
      ...policy,
      on: Parcel.version(1),
      permanent: [Error],
      concurrency: 1,
      replay: 'guarded',
      handle: async ({ parcel }, ctx) => {
        await ctx.tx((db) => db.run('insert into weighed values ($1)', parcel))
      },
    }),
  ],
  tables: [
    sql({ sqlite: 'create table booked(account text, message_id text)' }),
    sql({ sqlite: 'create table weighed(parcel integer)' }),
  ],
})
