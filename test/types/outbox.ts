// What a transaction emits is held to its contract, whatever client the transaction is of.
import type { DatabaseSync } from 'node:sqlite'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import type { Kysely, Transaction } from 'kysely'
import type { Client, PoolClient } from 'pg'
import type { TransactionSql } from 'postgres'
import { event, inbox, outbox, outboxSource, secret } from 'junctura'
import { orderV1, orderV2, owner } from './declared.ts'
import { type Equal, holds } from './expect.ts'

const OrderPlaced = event('orders.placed', { owner, versions: { 1: orderV1, 2: orderV2 } })

declare const pg: Client
declare const pooled: PoolClient
declare const sql: TransactionSql
declare const trx: Transaction<Record<string, never>>
declare const database: DatabaseSync
declare const drizzle: Parameters<Parameters<NodePgDatabase['transaction']>[0]>[0]
declare const kysely: Kysely<Record<string, never>>

for (const tx of [pg, pooled, sql, trx, database, drizzle, kysely]) {
  const { id } = await outbox(tx).emit(OrderPlaced, { orderId: 'A-1', total: '1' })
  holds<Equal<typeof id, string>>()
}

// The newest version is what is emitted, also by a reference that asks for an older one.
await outbox(pg).emit(OrderPlaced.version(1), { orderId: 'A-1', total: '1' })
// @ts-expect-error Property 'total' is missing: that was version 1.
await outbox(pg).emit(OrderPlaced, { orderId: 'A-1', amount: 1 })
// @ts-expect-error Type 'number' is not assignable to type 'string'.
await outbox(pg).emit(OrderPlaced, { orderId: 'A-1', total: 1 })
// @ts-expect-error A text is no transaction.
outbox('orders')
// @ts-expect-error Neither is an object that can do nothing a client can.
outbox({ send: () => undefined })

const processed = await inbox(pg).process('msg_1', () => 42, { consumer: 'ledger' })
if (processed.status === 'processed') holds<Equal<typeof processed.result, number>>()
// @ts-expect-error Property 'consumer' is missing: each consumer processes once.
await inbox(pg).process('msg_1', () => 42, {})

const parts = { owner, accepts: [OrderPlaced] }
outboxSource('orders-db', { ...parts, database: { url: secret.env('DATABASE_URL') } })
outboxSource('orders-file', { ...parts, database: { file: 'orders.db' } })
// @ts-expect-error A URL holds a password: it is named, never written.
outboxSource('orders-url', { ...parts, database: { url: 'postgres://me:secret@db/orders' } })
// @ts-expect-error Property 'accepts' is missing.
outboxSource('orders-any', { owner, database: { file: 'orders.db' } })
