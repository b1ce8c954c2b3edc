// One job per send → durable → handled, with a queue that people use. Prints one line of JSON.
//   node send-load.js bullmq|pg-boss|graphile-worker|dbos SERVER_URL SECONDS IN_FLIGHT BYTES MANY
// As publish-load.ts does it: senders that wait for each of their sends, then until all is handled;
// one process sends and handles. With MANY each send is one call for so many, where the queue has
// one. Before it counts, it warms up: the first sends prepare everything.
import { setTimeout as delay } from 'node:timers/promises'
import { createDatabase } from './create-database.js'

const [
  which = '',
  serverUrl = '',
  seconds = '3',
  inFlight = '512',
  bytes = '1000',
  manyAtOnce = '1',
] = process.argv.slice(2)
const many = Number(manyAtOnce)
const padding = 'x'.repeat(Math.max(0, Number(bytes) - 60))
const KEYS = 1_000
let sent = 0
let handled = 0
const handle = () => {
  handled += 1
}

/** Each opens its queue with the settings that its documentation gives for throughput. */
const queues = {
  async bullmq() {
    const { Queue, Worker } = await import('bullmq')
    const { hostname: host, port } = new URL(serverUrl)
    const connection = { host, port: Number(port), maxRetriesPerRequest: null }
    const name = `bench-${process.pid}-${Date.now()}`
    const kept = { count: 1_000 }
    const options = { removeOnComplete: kept, removeOnFail: kept }
    const queue = new Queue(name, { connection, defaultJobOptions: options })
    const worker = new Worker(name, async () => handle(), { connection, concurrency: 64 })
    worker.on('error', (error) => console.error(error.message))
    await worker.waitUntilReady()
    return {
      send: (data) => queue.add('job', data),
      async close() {
        await worker.close()
        await queue.obliterate({ force: true })
        await queue.close()
      },
    }
  },
  async 'pg-boss'() {
    const { PgBoss } = await import('pg-boss')
    const database = await createDatabase(serverUrl)
    const boss = new PgBoss({ connectionString: database.url, max: 20, useListenNotify: true })
    boss.on('error', (error) => console.error(error.message))
    await boss.start()
    await boss.createQueue('bench', { notify: true })
    const how = {
      batchSize: 50,
      localConcurrency: 4,
      burstWhenBatchFull: true,
      notifyPollingIntervalSeconds: 0.5,
      pollingIntervalSeconds: 0.5,
    }
    await boss.work('bench', how, async (jobs) => jobs.forEach(handle))
    return {
      send: (data) => boss.send('bench', data),
      sendMany: (list) =>
        boss.insert(
          'bench',
          list.map((data) => ({ data })),
        ),
      async close() {
        await boss.stop({ graceful: false })
        await database.drop()
      },
    }
  },
  async 'graphile-worker'() {
    const { Logger, makeWorkerUtils, run } = await import('graphile-worker')
    const { default: pg } = await import('pg')
    const database = await createDatabase(serverUrl)
    const logger = new Logger(() => () => undefined)
    const pools = [20, 20].map((max) => new pg.Pool({ connectionString: database.url, max }))
    // The last connections may still be closing when the database goes.
    for (const pool of pools) pool.on('error', () => undefined)
    const runner = await run({
      pgPool: pools[0],
      concurrency: 24,
      pollInterval: 200,
      logger,
      noHandleSignals: true,
      taskList: { job: async () => handle() },
      preset: {
        worker: { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 },
      },
    })
    const sender = await makeWorkerUtils({ pgPool: pools[1], logger })
    return {
      send: (data) => sender.addJob('job', data),
      sendMany: (list) => sender.addJobs(list.map((payload) => ({ identifier: 'job', payload }))),
      async close() {
        await runner.stop()
        await sender.release()
        for (const pool of pools) await pool.end()
        await database.drop()
      },
    }
  },
  async dbos() {
    const { DBOS } = await import('@dbos-inc/dbos-sdk')
    const database = await createDatabase(serverUrl)
    const quiet = () => undefined
    DBOS.setConfig({
      name: 'bench',
      systemDatabaseUrl: database.url,
      systemDatabasePoolSize: 40,
      logger: { debug: quiet, info: quiet, warn: quiet, error: quiet },
    })
    const job = DBOS.registerWorkflow(async () => handle(), { name: 'job' })
    await DBOS.launch()
    await DBOS.registerQueue('bench', { workerConcurrency: 64, minPollingIntervalMs: 10 })
    return {
      send: (data) => DBOS.startWorkflow(job, { queueName: 'bench' })(data),
      async close() {
        await DBOS.shutdown()
        await database.drop()
      },
    }
  },
}

const open = queues[which]
if (!open) throw new Error(`the first argument is one of ${Object.keys(queues).join(', ')}`)
const queue = await open()

const next = () => ({ key: `k${sent++ % KEYS}`, due: performance.now(), padding })

async function load(durationMs) {
  const before = sent
  const startedMs = performance.now()
  const sender = async () => {
    while (performance.now() < startedMs + durationMs) {
      if (many > 1) await queue.sendMany(Array.from({ length: many }, next))
      else await queue.send(next())
    }
  }
  const senders = Math.max(1, Math.floor(Number(inFlight) / many))
  await Promise.all(Array.from({ length: senders }, sender))
  const ingestSeconds = (performance.now() - startedMs) / 1_000
  while (handled < sent) await delay(1)
  const elapsed = (performance.now() - startedMs) / 1_000
  const count = sent - before
  return { perSecond: count / elapsed, ingestPerSecond: count / ingestSeconds }
}

await load(Math.min(2, Number(seconds)) * 500)
const result = await load(Number(seconds) * 1_000)
await queue.close()
process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0))
