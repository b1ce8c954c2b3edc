import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type PostgresEngine, startPostgres } from '../../../test/engines/postgres.ts'
import {
  createPostgresBench,
  type PostgresBench,
  statusesOf,
  unitOf,
} from '../../../test/engines/postgres-bench.ts'
import { createSeededRandom, createSystemClock, must, sleep } from '../../kernel/index.ts'

let engine: PostgresEngine | undefined
let bench: PostgresBench | undefined
const clock = createSystemClock()
const pause = (ms: number): Promise<void> => sleep(clock, ms, new AbortController().signal)

beforeAll(async () => {
  engine = await startPostgres()
  bench = await createPostgresBench(engine.url, 'leases')
})

afterAll(async () => {
  await bench?.close()
  await engine?.stop()
})

describe('a lease of several', () => {
  it('that is taken, or given back and taken by another, refuses no commit that is under way (F15)', async () => {
    const { open } = must(bench, 'a test has a database')
    const one = await open({ random: createSeededRandom(1) })
    const two = await open({ random: createSeededRandom(2) })
    await one.leases?.take({ name: 'consumers', listens: true })
    let isOver = false
    const commits = (async () => {
      let count = 0
      while (!isOver) {
        const many = [0, 1, 2].map((n) => statusesOf(one, [unitOf(`${count}-${n}`)]))
        for (const statuses of await Promise.all(many)) expect(statuses).toEqual(['committed'])
        count += 3
      }
      return count
    })()

    for (let round = 0; round < 15; round++) {
      const name = `consumer/c${round % 3}`
      const lease = must(await one.leases?.take({ name }), 'it is free')
      await pause(5)
      await lease.release()
      const next = must(await two.leases?.take({ name }), 'it was given back')
      await next.release()
    }
    isOver = true

    expect(await commits).toBeGreaterThan(15)
    expect([...((await one.leases?.list?.()) ?? [])].map(([name]) => name)).toEqual(['consumers'])
  })
})
