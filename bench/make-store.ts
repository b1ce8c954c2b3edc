// Grows a store that publish-load.ts has begun (`park`), through the store's own code, to a size
// that publishing would take too long to reach. Prints one line of JSON.
//   node bench/make-store.ts parked DIRECTORY SUCCESSORS
//   node bench/make-store.ts crashed DIRECTORY KEYS
// `parked` puts so many messages behind the lane that is parked. `crashed` fills it with so many
// idempotency keys, each with its record, over six days, and dies as of kill -9.
import { createSystemClock, createSystemRandom, must } from '../src/kernel/index.ts'
import {
  createSqliteStore,
  positionText,
  type RowWrite,
  type Store,
  type Unit,
} from '../src/store/index.ts'

const DAY_MS = 86_400_000
const FILL_MS = 6 * DAY_MS
const RETENTION_MS = 7 * DAY_MS
const COMMIT_UNITS = 1_000

const [kind, directory = '', amount = '0'] = process.argv.slice(2)
const count = Number(amount)
const realNowMs = Date.now()
const clock = { ...createSystemClock(), atMs: realNowMs, now: () => clock.atMs }

const open = (): Promise<Store> =>
  createSqliteStore({ directory, clock, random: createSystemRandom() })

/** Commits units made for each number, a thousand at a time. */
async function commitAll(store: Store, unitOf: (number: number) => Unit): Promise<void> {
  for (let first = 0; first < count; first += COMMIT_UNITS) {
    const length = Math.min(COMMIT_UNITS, count - first)
    await store.commit(Array.from({ length }, (_, index) => unitOf(first + index)))
    await clock.yield()
  }
}

/** Every consumer is through with everything, as after a clean stop. */
async function catchUp(store: Store): Promise<void> {
  const watermark = await store.headPosition()
  const rows = await store.scan({ collection: 'progress', limit: 500 })
  const writes = rows.map(({ key, row }): RowWrite => ({
    collection: 'progress',
    key,
    row: { ...row, watermark, done: [], claimedTo: 0 },
  }))
  await store.commit([{ rows: writes }])
}

async function parked(): Promise<void> {
  const store = await open()
  const [waiting] = await store.scan({ collection: 'successors', limit: 1 })
  const { row } = must(waiting, 'a message waits behind the parked lane')
  const { channel, slot, bytes } = must(await store.recordAt(row.position), 'it has its record')
  const head = await store.headPosition()
  await commitAll(store, (number) => {
    const position = head + 1 + number
    const key = `${row.lane}\n${positionText(position)}`
    return {
      appends: [{ channel, slot, atMs: realNowMs, bytes }],
      rows: [{ collection: 'successors', key, row: { ...row, position } }],
    }
  })
  await catchUp(store)
  await store.close()
}

async function crashed(): Promise<void> {
  clock.atMs = realNowMs - FILL_MS
  const store = await open()
  const bytes = Buffer.alloc(100)
  await commitAll(store, (number) => {
    clock.atMs = realNowMs - FILL_MS + Math.floor((number / count) * FILL_MS)
    const { atMs } = clock
    const claim = { scope: 'bench', key: `key ${number}`, expiresAtMs: atMs + RETENTION_MS }
    return {
      appends: [{ channel: 'keys', slot: 0, atMs, bytes }],
      claims: [{ ...claim, append: 0 }],
    }
  })
  clock.atMs = realNowMs
  await catchUp(store)
}

const KINDS = { parked, crashed } as const
const make = Object.entries(KINDS).find(([name]) => name === kind)?.[1]
if (!make) throw new Error(`the first argument is one of ${Object.keys(KINDS).join(', ')}`)
await make()
process.stdout.write('{}\n', () => process.kill(process.pid, 'SIGKILL'))
