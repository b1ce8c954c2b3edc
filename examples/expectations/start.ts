// `node examples/expectations/start.ts`
//
// Places ten orders, of which one card is refused and one is forgotten, waits until their time is
// over, and shows where the flow stopped and why; then the forgotten payment comes late.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { createRuntime, type ExpectationKeyView } from 'junctura'
import expectations, { OrderPlaced, PaymentCaptured } from './integration.ts'

const print = (line: string): void => void process.stdout.write(`${line}\n`)

const ORDERS = [...Array.from({ length: 8 }, (_, n) => `order-${n}`), 'a-refused', 'b-forgotten']

const directory = mkdtempSync(join(tmpdir(), 'junctura-expectations-'))
const runtime = await createRuntime(expectations, { store: { engine: 'sqlite', directory } })

const missedKeys = async (): Promise<readonly ExpectationKeyView[]> =>
  (await runtime.expectationKeys('paid', {}))?.items ?? []

const untilMissed = async (count: number): Promise<void> => {
  for (let tries = 0; (await missedKeys()).length !== count; tries++) {
    if (tries > 200) throw new Error(`${count} keys should be missed`)
    await delay(100)
  }
}

const showFlow = async (): Promise<void> => {
  for (const { name, steps } of await runtime.flows()) {
    print(`flow ${name}`)
    for (const { after, expect, totals, missed } of steps) {
      const { opened, met, late } = totals
      const step = `${after.join()} → ${expect.join()}`.padEnd(36)
      print(`  ${step} begun ${opened}  met ${met}  late ${late}  missed now ${missed}`)
    }
  }
}

try {
  await runtime.publishMany(ORDERS.map((orderId) => OrderPlaced.of({ orderId })))
  await untilMissed(2)
  await showFlow()
  for (const { key, shouldAct, deadLetters = [] } of await missedKeys()) {
    const why = deadLetters.map(({ consumer, cause }) => `${consumer} gave up: ${cause}`).join()
    print(`  missing: ${key}, ${shouldAct.join()} should have acted. ${why}`)
  }
  await runtime.publish(PaymentCaptured.of({ paymentId: 'late', orderId: 'b-forgotten' }))
  await untilMissed(1)
  print('after the forgotten payment came late:')
  await showFlow()
} finally {
  await runtime.close()
  rmSync(directory, { recursive: true })
}
