// `node examples/folder-broker/start.ts`: orders travel through a folder to a consumer, and whoever
// else reads the folder has them too. Ends with 0 if both have all of them in order, else 1.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { consumer, createRuntime, integration } from 'junctura'
import { OrderPlaced, shop } from '../outbox/contract.ts'
import { createFolderBroker } from './folder-broker.ts'

const home = mkdtempSync(join(tmpdir(), 'junctura-folder-example-'))
const folder = join(home, 'mounted')
mkdirSync(folder)

const printed: string[] = []
const printer = consumer('printer', {
  owner: shop,
  on: OrderPlaced,
  from: 'earliest',
  idempotency: 'natural',
  retry: { attempts: 3, first: '1s', max: '10s' },
  deadLetter: { alert: shop.oncall },
  afterDeadLetter: 'park',
  replay: 'safe',
  handle: async ({ orderId }) => void printed.push(orderId),
})

const runtime = await createRuntime(integration('folder-example', { parts: [printer] }), {
  store: { engine: 'sqlite', directory: home },
  transport: {
    engine: 'custom',
    name: 'folder',
    open: async ({ kernel: { clock }, onState }) => createFolderBroker({ folder, clock, onState }),
  },
})
const orders = Array.from({ length: 20 }, (_, at) => ({ orderId: `A-${at + 1}`, cents: 100 }))
await runtime.publishMany(orders.map((order) => OrderPlaced.of(order)))
await runtime.idle()
await runtime.close()

const channel = join(folder, OrderPlaced.channel)
const files = readdirSync(channel).filter((name) => name.endsWith('.json'))
const found = files
  .sort()
  .flatMap((name): string[] =>
    (JSON.parse(readFileSync(join(channel, name), 'utf8')) as { data: string }[]).map(
      ({ data }) => JSON.parse(Buffer.from(data, 'base64').toString()).orderId,
    ),
  )
rmSync(home, { recursive: true, force: true })
const expected = orders.map(({ orderId }) => orderId).join()
process.stdout.write(`printed ${printed.length} orders, found ${found.length} in the folder\n`)
process.exitCode = printed.join() === expected && found.join() === expected ? 0 : 1
