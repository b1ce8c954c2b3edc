// The orders integration in a world where everything goes wrong, on virtual time. Each seed is
// another world; a seed that fails is replayed exactly. Run it: node examples/orders/simulate.ts
import { parseArgs } from 'node:util'
import { describeFailure, simulate } from 'junctura/testing'
import orders from './integration.ts'

const { values } = parseArgs({ options: { seeds: { type: 'string', default: '20' } } })
const statuses = ['placed', 'paid', 'packed', 'shipped', 'delivered']

const report = await simulate(orders, {
  seeds: Number(values.seeds),
  faults: 'everything',
  messages: 60,
  // Twelve orders, so that their messages meet; each says each status once.
  body: (_webhook, _random, index) => ({
    version: 2,
    orderId: `ORDER-${index % 12}`,
    status: statuses[Math.floor(index / 12) % statuses.length],
    occurredAt: '2026-01-01T00:00:00Z',
    customer: { email: 'someone@example.com' },
    total: { amount: '49.90', currency: 'EUR' },
  }),
  // What must hold for these orders besides what holds for every integration.
  check: async ({ disk }) => {
    const twice = await disk.query(
      `select consumer, order_id, status from order_effects
       group by consumer, order_id, status having count(*) > 1`,
    )
    return twice.map((row) => `${String(row['consumer'])} has ${String(row['order_id'])} twice`)
  },
})

for (const failure of report.failures) console.log(describeFailure(failure))
const { seeds, accepted, effects, deadLetters, failures } = report
console.log(
  `${seeds} worlds: ${accepted} messages accepted, ${effects} effects, ` +
    `${deadLetters} dead letters, ${failures.length} worlds in which something did not hold`,
)
process.exitCode = failures.length > 0 ? 1 : 0
