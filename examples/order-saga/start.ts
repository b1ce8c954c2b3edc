// `node examples/order-saga/start.ts`
//
// The same five orders, once with a saga that conducts and once with services that hear each other:
// one goes well, and each of the others fails in its own way. Prints how each order stands, what
// the ledger says was done, and who is told. Ends with 0 if both did what the page about it says.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as delay } from 'node:timers/promises'
import { createRuntime, type Integration, type Runtime } from 'junctura'
import { createChoreographed } from './choreographed.ts'
import { OrderPlaced } from './contracts.ts'
import { createOrchestrated } from './orchestrated.ts'

const ORDERS = ['a-good', 'b-declined', 'c-uncaptured', 'd-nocarrier', 'e-closed']

const print = (line: string): void => void process.stdout.write(`${line}\n`)

type Ledger = ReadonlyMap<string, string>

/** What a run shows of each order before it is closed. */
type Look = (runtime: Runtime) => Promise<ReadonlyMap<string, string> | undefined>

const play = async (title: string, integration: Integration, look: Look): Promise<Ledger> => {
  const directory = mkdtempSync(join(tmpdir(), 'junctura-order-saga-'))
  const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
  const runtime = await createRuntime(integration, { store: { engine: 'sqlite', directory }, log })
  try {
    await runtime.publishMany(ORDERS.map((orderId) => OrderPlaced.of({ orderId, cents: 4_200 })))
    let seen = await look(runtime)
    for (let tries = 0; !seen; tries++) {
      if (tries > 300) throw new Error(`${title}: the orders did not come to rest`)
      await delay(100)
      seen = await look(runtime)
    }
    const alerts = await runtime.alerts({ state: 'open' })
    const ledger = readLedger(directory)
    print(title)
    for (const order of ORDERS) {
      print(`  ${order.padEnd(14)}${(ledger.get(order) ?? '').padEnd(38)}${seen.get(order) ?? ''}`)
    }
    for (const { owner, title: told } of alerts.items.toReversed())
      print(`  told ${owner}: ${told}`)
    return ledger
  } finally {
    await runtime.close()
    rmSync(directory, { recursive: true, force: true })
  }
}

function readLedger(directory: string): Ledger {
  const file = new DatabaseSync(join(directory, 'junctura.db'), { readOnly: true })
  const rows = file.prepare('select what, order_id from ledger order by seq').all()
  file.close()
  const done = new Map<string, string>()
  for (const { what, order_id: id } of rows) {
    const before = done.get(String(id))
    done.set(String(id), before === undefined ? String(what) : `${before} ${String(what)}`)
  }
  return done
}

const RESTING = ['completed', 'compensated', 'compensation-stuck']

const lookAtSagas: Look = async (runtime) => {
  const { items } = await runtime.sagas({ saga: 'order' })
  const resting = items.filter(({ state }) => RESTING.includes(state))
  if (resting.length < ORDERS.length) return undefined
  return new Map(
    items.map(({ key, state, cause }) => [key, cause ? `${state}: ${cause.reason}` : state]),
  )
}

/** Nobody has the state of an order: it is what each step of the flow has seen of it. */
const lookAtFlow: Look = async (runtime) => {
  const seen = new Map<string, string>()
  for (const name of ['reserved', 'paid', 'shipped']) {
    const keys = await runtime.expectationKeys(name, {})
    for (const { key, shouldAct } of keys?.items ?? []) {
      seen.set(key, `missed "${name}": ${shouldAct.join()} should have acted`)
    }
  }
  const letters = await runtime.deadLetters({})
  const [flow] = await runtime.flows()
  return flow?.open === 0 && letters.items.length > 0 && seen.size > 0 ? seen : undefined
}

const orchestrated = await play('orchestrated', createOrchestrated('2s'), lookAtSagas)
const choreographed = await play('choreographed', createChoreographed('2s'), lookAtFlow)

const isAsTold =
  orchestrated.get('c-uncaptured') === 'reserved charged refunded released' &&
  choreographed.get('c-uncaptured') === 'reserved charged'
process.exitCode = isAsTold ? 0 : 1
