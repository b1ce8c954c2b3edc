// Writes orders and emits in transactions of Prisma: URL of the database, path of junctura's source.
import { PrismaPg } from '@prisma/adapter-pg'
import { PrismaClient } from './generated/client.ts'

const [url, source, schema] = process.argv.slice(2)
const { event, inbox, jsonSchema, outbox, team } = await import(source)
const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: url }) })
const OrderPlaced = event('orders.placed', {
  owner: team('orders'),
  key: 'orderId',
  versions: {
    1: jsonSchema({
      type: 'object',
      required: ['orderId', 'n'],
      properties: { orderId: { type: 'string' }, n: { type: 'integer' } },
    }),
  },
})

const ids = []
const place = (n) =>
  prisma.$transaction(async (tx) => {
    await tx.order.create({ data: { id: `p-${n}`, n } })
    const { id } = await outbox(tx, { schema }).emit(OrderPlaced, { orderId: 'p', n })
    if (n === 2) throw new Error('changed my mind')
    ids.push(id)
  })
await place(1)
await place(2).catch(() => undefined)
await place(3)

const statuses = []
for (const time of [1, 2]) {
  await prisma.$transaction(async (tx) => {
    const work = () => time
    const processed = await inbox(tx, { schema }).process('m-1', work, { consumer: 'ledger' })
    statuses.push(processed.status)
  })
}

let refused = ''
try {
  outbox(prisma)
} catch (error) {
  refused = error.message
}
await prisma.$disconnect()
process.stdout.write(`${JSON.stringify({ ids, statuses, refused })}\n`)
