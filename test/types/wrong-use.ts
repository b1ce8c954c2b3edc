// Wrong use that the compiler has to find. Each line compiled would be a defect at run time.
import {
  command,
  consumer,
  event,
  integration,
  secret,
  standardWebhooks,
  unsigned,
  webhook,
} from 'junctura'
import { orderV1, orderV2, owner, partner, policy } from './declared.ts'

const OrderPlaced = event('orders.placed', { owner, versions: { 1: orderV1, 2: orderV2 } })
const Pay = command('payments.pay', { owner, versions: { 1: orderV1 } })
const verify = unsigned({ reason: 'only types are of interest here' })
const parts = { from: partner, accepts: OrderPlaced, idempotency: {}, path: '/x' } as const

// Contracts.

// @ts-expect-error Property 'owner' is missing: a contract has somebody who answers for it.
event('orders.a', { versions: { 1: orderV1 } })
// @ts-expect-error Property 'versions' is missing.
event('orders.b', { owner })
// @ts-expect-error '"yearly"' is not assignable to 'Compatibility'.
event('orders.c', { owner, versions: { 1: orderV1 }, compatibility: 'yearly' })
// @ts-expect-error '"3 days"' is not assignable to 'Duration': 3d.
event('orders.d', { owner, versions: { 1: orderV1 }, retention: '3 days' })
// @ts-expect-error Argument of type '3' is not assignable to parameter of type '1 | 2'.
OrderPlaced.version(3)
// @ts-expect-error Property 'total' is missing: what is emitted is of the latest version.
OrderPlaced.of({ orderId: 'A-1', amount: 1 })
// @ts-expect-error Property 'amount' is missing: a command is held to its contract too.
Pay.of({ orderId: 'A-1' })
// @ts-expect-error Cannot assign to 'owner' because it is a read-only property.
OrderPlaced.owner = owner

// Consumers.

consumer('reads-what-is-not-there', {
  ...policy,
  on: OrderPlaced,
  // @ts-expect-error Property 'amount' does not exist: this consumer did not ask for version 1.
  handle: async (order) => void order.amount,
})
// @ts-expect-error 'owner', 'retry', 'deadLetter' and the rest are missing: nothing is inherited.
consumer('without-policy', { on: OrderPlaced, handle: async () => undefined })
consumer('by-name', {
  ...policy,
  // @ts-expect-error 'string' is not assignable to 'AnyContract': refer to the contract itself.
  on: 'orders.placed',
  handle: async () => undefined,
})
consumer('batch-with-once', {
  ...policy,
  on: OrderPlaced,
  batch: { max: 10, maxAge: '1s' },
  handleBatch: async (_, ctx) => {
    // @ts-expect-error Property 'once' does not exist: a batch has no one message to keep it with.
    await ctx.once('mail', async () => undefined)
  },
})

// Webhooks.

// @ts-expect-error Property 'verify' is missing: an open door has to be written down.
webhook('open', { ...parts, retriesFor: '1d', emit: () => undefined })
// @ts-expect-error Property 'retriesFor' is missing: dedupe has to outlive the sender's retries.
webhook('forgetful', { ...parts, verify, emit: () => undefined })
webhook('half', {
  ...parts,
  verify,
  retriesFor: '1d',
  // @ts-expect-error Property '2' is missing: a version without a transform would be lost.
  emit: { 1: () => undefined },
})
webhook('emits-something', {
  ...parts,
  verify,
  retriesFor: '1d',
  // @ts-expect-error An object is no draft: write Contract.of(…), so that it is checked.
  emit: () => ({ orderId: 'A-1' }),
})
// @ts-expect-error Property 'reason' is missing: who takes unsigned requests says why.
unsigned({})
// @ts-expect-error 'string' is not assignable to 'SecretInput': a secret is never in the source.
standardWebhooks({ secret: 'whsec_c2VjcmV0' })
standardWebhooks({ secret: secret.env('ACME_SECRET') })

// Integrations.

// @ts-expect-error A function is no part: what the Model cannot see does not run.
integration('x', { parts: [() => undefined] })
