import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { postgresForTests } from '../../../test/engines/postgres.ts'
import {
  createPostgresBench,
  type PostgresBench,
  statusesOf,
  unitOf,
} from '../../../test/engines/postgres-bench.ts'
import { createSystemClock, LIMITS, must, sleep } from '../../kernel/index.ts'
import { CopyIn } from './copy-in.ts'
import { orderOf } from './writer.ts'

let server: Awaited<ReturnType<typeof postgresForTests>> | undefined
let bench: PostgresBench | undefined

beforeAll(async () => {
  server = await postgresForTests()
  bench = await createPostgresBench(server.url, `order_guard_${process.pid}`)
})

afterAll(async () => {
  await bench?.close()
  await server?.stop()
})

describe('a process that froze in the middle of a message, where all have to pass', () => {
  it('loses its connection to those who wait, also when they want leases', async () => {
    const { url, open } = must(bench, 'a test has a database')
    const store = await open()
    await store.commit([unitOf('before')])
    for (const passes of [
      async () => expect(await statusesOf(store, [unitOf('after')])).toEqual(['committed']),
      async () => expect(await store.leases?.take({ name: 'all' })).toBeDefined(),
      // More than there are connections to wait on, as after the death of a neighbour.
      async () => {
        const names = Array.from({ length: 3 * LIMITS.postgresReadersMax }, (_, at) => `c/${at}`)
        const leases = must(store.leases, 'the store is shared')
        const taken = await Promise.all(names.map((name) => leases.take({ name })))
        expect(taken).not.toContain(undefined)
      },
    ]) {
      const frozen = new pg.Client({ connectionString: url })
      // That the server ends it is what is wanted.
      frozen.on('error', () => undefined)
      await frozen.connect()
      await frozen.query(`begin;${orderOf('junctura')}`)
      const copy = new CopyIn('copy junctura.layout from stdin', new Uint8Array())
      const failed = expect(copy.done).rejects.toThrow(/terminat/)
      // The server asks for data, which never come: none of its own limits of time counts now.
      copy.submit = (connection) => connection.query('copy junctura.layout from stdin')
      frozen.query(copy)

      const clock = createSystemClock()
      const startedMs = clock.monotonicMs()
      await passes()

      expect(clock.monotonicMs() - startedMs).toBeLessThan(LIMITS.orderLockWaitMs)
      await failed
    }
  })
})

describe('a process that waited long where all have to pass', () => {
  it('keeps its connection while its message comes: it has held up nobody for long', async () => {
    const { url, open } = must(bench, 'a test has a database')
    const store = await open()
    await store.commit([unitOf('before')])
    const clock = createSystemClock()
    const connect = async (): Promise<pg.Client> => {
      const client = new pg.Client({ connectionString: url })
      client.on('error', () => undefined)
      await client.connect()
      return client
    }
    const [first, patient] = [await connect(), await connect()]
    await first.query(`begin;${orderOf('junctura')}`)
    let send = (): void => undefined
    const copy = new CopyIn(`begin;${orderOf('junctura')};copy junctura.layout from stdin`, NOTHING)
    copy.submit = (connection) => {
      connection.query(`begin;${orderOf('junctura')};copy junctura.layout from stdin`)
      send = () => connection.stream.write(COPY_DONE)
    }
    const done = expect(copy.done).resolves.toBeDefined()
    patient.query(copy)
    await sleep(clock, 200)
    // Looks at who holds it up when it has waited for LIMITS.orderedIdleMs.
    const behind = statusesOf(store, [unitOf('behind')])
    await sleep(clock, LIMITS.orderedIdleMs - 300)
    await first.query('commit')
    await sleep(clock, 1_000)
    send()

    await done
    await patient.query('commit')
    expect(await behind).toEqual(['committed'])
    await first.end()
    await patient.end()
  })
})

const NOTHING = new Uint8Array()
/** `c` and its length. */
const COPY_DONE: Uint8Array = Uint8Array.from([0x63, 0, 0, 0, 4])
