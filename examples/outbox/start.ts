// `node examples/outbox/start.ts`: a shop places orders, one of them twice; each that was placed
// has one invoice. Ends with 0 if so, else 1.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { createRuntime } from 'junctura'
import { openShop } from './shop.ts'

const folder = mkdtempSync(join(tmpdir(), 'junctura-outbox-example-'))
const file = join(folder, 'orders.db')
process.env['ORDERS_DATABASE'] = file
const shop = openShop(file)
await shop.place({ orderId: 'A-1', cents: 4_200 })
await shop.place({ orderId: 'A-2', cents: 100 })
// The database refuses the second A-1, so nobody is told of it.
await shop.place({ orderId: 'A-1', cents: 9_900 }).catch(() => undefined)

const { default: integration } = await import('./integration.ts')
const runtime = await createRuntime(integration, { store: { engine: 'sqlite', directory: folder } })
await shop.place({ orderId: 'A-3', cents: 700 })
await runtime.idle()
await runtime.close()
shop.close()

const store = new DatabaseSync(join(folder, 'junctura.db'), { readOnly: true })
const found = store.prepare('select order_id, cents from invoices order by order_id').all()
store.close()
rmSync(folder, { recursive: true, force: true })
const invoices = found.map(({ order_id: id, cents }) => `${String(id)} ${String(cents)}`)
process.stdout.write(`${invoices.join('\n')}\n`)
process.exitCode = invoices.join() === 'A-1 4200,A-2 100,A-3 700' ? 0 : 1
