// The webhook path as a good Node engineer builds it without a platform: fastify, standardwebhooks
// and zod in front; the inbox row and the pg-boss jobs in one PostgreSQL transaction; three workers
// that each write one effect row, idempotent by its primary key. Prints its URL.
//   node webhook-stack.js POSTGRES_URL three|one
// `three` sends a job to each worker's queue, so that each retries by itself, as our consumers do.
// `one` sends one job for all, whose worker writes the three rows: cheaper, and weaker.
import Fastify from 'fastify'
import pg from 'pg'
import { PgBoss } from 'pg-boss'
import { Webhook } from 'standardwebhooks'
import { z } from 'zod'
import { createDatabase } from './create-database.js'

const SECRET = 'whsec_b25seSBmb3IgZGV2ZWxvcG1lbnQsIG5vdCBhIHNlY3JldA=='
const CONSUMERS = ['warehouse', 'finance', 'notifications']
const [serverUrl = '', jobs = 'three'] = process.argv.slice(2)
const queues =
  jobs === 'one'
    ? [{ name: 'orders', writes: CONSUMERS }]
    : CONSUMERS.map((name) => ({ name, writes: [name] }))

const v1 = z.object({
  version: z.literal(1),
  orderId: z.string().min(1).max(100),
  status: z.enum(['placed', 'paid', 'packed', 'shipped', 'delivered', 'cancelled']),
  occurredAt: z.iso.datetime({ offset: true }),
  customer: z.object({ email: z.string() }),
  total: z.object({ amount: z.string().regex(/^-?\d+(\.\d+)?$/), currency: z.string() }).optional(),
})
const v2 = v1.required({ total: true }).extend({ version: z.literal(2) })
const Order = z.discriminatedUnion('version', [v1, v2])

const database = await createDatabase(serverUrl)
const pool = new pg.Pool({ connectionString: database.url, max: 20 })
// The last connections may still be closing when the database goes.
pool.on('error', (error) => console.error(error.message))
await pool.query(`
  create table inbox (source text, message_id text, received_at timestamptz default now(), body jsonb,
    primary key (source, message_id));
  create table order_effects (consumer text, message_id text, order_id text, status text,
    recorded_at timestamptz default now(), primary key (consumer, message_id))`)

const boss = new PgBoss({ connectionString: database.url, max: 10, useListenNotify: true })
boss.on('error', (error) => console.error(error.message))
await boss.start()

/** One statement for all jobs of a batch: the fastest that a worker can do. */
const writeEffects = {
  name: 'effects',
  text: `insert into order_effects (consumer, message_id, order_id, status)
    select consumer, message_id, order_id, status
    from unnest($1::text[]) as consumer,
      unnest($2::text[], $3::text[], $4::text[]) as job (message_id, order_id, status)
    on conflict do nothing`,
}
let sent = 0
let effects = 0
for (const { name, writes } of queues) {
  await boss.createQueue(name, { notify: true, retryLimit: 5, retryBackoff: true })
  const how = {
    batchSize: 50,
    localConcurrency: jobs === 'one' ? 4 : 2,
    burstWhenBatchFull: true,
    notifyPollingIntervalSeconds: 0.5,
    pollingIntervalSeconds: 0.5,
  }
  await boss.work(name, how, async (batch) => {
    const of = (field) => batch.map(({ data }) => data[field])
    const values = [writes, of('messageId'), of('orderId'), of('status')]
    const { rowCount } = await pool.query({ ...writeEffects, values })
    effects += rowCount
  })
}

async function accept(messageId, order) {
  const client = await pool.connect()
  try {
    await client.query('begin')
    const insert = {
      name: 'inbox',
      text: `insert into inbox (source, message_id, body) values ('acme', $1, $2) on conflict do nothing`,
      values: [messageId, order],
    }
    const isNew = (await client.query(insert)).rowCount === 1
    const db = { executeSql: (text, values) => client.query(text, values) }
    const job = { messageId, orderId: order.orderId, status: order.status }
    if (isNew) for (const { name } of queues) await boss.send(name, job, { db })
    await client.query('commit')
    if (isNew) sent += 1
  } catch (error) {
    await client.query('rollback').catch(() => undefined)
    throw error
  } finally {
    client.release()
  }
}

const webhook = new Webhook(SECRET)
const app = Fastify({ logger: false, bodyLimit: 1_048_576 })
app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_, body, done) =>
  done(null, body),
)
app.post('/webhooks/acme', async (request, reply) => {
  let body
  try {
    body = webhook.verify(request.body, request.headers)
  } catch {
    return reply.code(401).send({ title: 'the signature does not match' })
  }
  const order = Order.safeParse(body)
  if (!order.success) return reply.code(400).send({ title: 'invalid', issues: order.error.issues })
  await accept(request.headers['webhook-id'], order.data)
  return reply.code(202).send({})
})
/** How many effects are still to come. */
app.get('/behind', () => ({ behind: sent * CONSUMERS.length - effects }))

async function stop() {
  await app.close()
  await boss.stop({ graceful: false })
  await pool.end()
  await database.drop()
  process.exit(0)
}
process.once('SIGTERM', () => void stop())
console.log(JSON.stringify({ url: await app.listen({ port: 0, host: '127.0.0.1' }) }))
