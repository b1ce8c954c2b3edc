import { DatabaseSync } from 'node:sqlite'
import { outbox, outboxSql } from 'junctura'
import { type Order, OrderPlaced } from './contract.ts'

/** A shop with a database of its own. It knows the contract, and no running integration. */
export interface Shop {
  /** Stores an order and tells of it: both, or neither. */
  place(order: Order): Promise<void>
  close(): void
}

export const openShop = (file: string): Shop => {
  const db = new DatabaseSync(file)
  db.exec('pragma journal_mode = wal')
  db.exec('create table if not exists orders (id text primary key, cents integer)')
  db.exec(outboxSql({ dialect: 'sqlite' }))
  const insert = db.prepare('insert into orders (id, cents) values (?, ?)')
  return {
    async place(order) {
      db.exec('begin immediate')
      try {
        // First the message: if the order is there already, the message goes with the rollback.
        await outbox(db).emit(OrderPlaced, order)
        insert.run(order.orderId, order.cents)
        db.exec('commit')
      } catch (error) {
        db.exec('rollback')
        throw error
      }
    },
    close: () => db.close(),
  }
}
