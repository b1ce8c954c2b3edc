import { writeSync } from 'node:fs'
import { createSystemClock, createSystemRandom } from '../../kernel/index.ts'
import type { Unit } from '../store.ts'
import { append, claim, ORDER_EFFECTS } from '../units.fixture.ts'
import { createSqliteStore } from './sqlite-store.ts'

/** A process to be killed: commits without end and writes each position once it is durable. */
const say = (line: string): void => void writeSync(1, `${line}\n`)

const [, , directory = ''] = process.argv
const clock = createSystemClock()
try {
  const random = createSystemRandom()
  const store = await createSqliteStore({ directory, clock, random, partitionBytesMax: 200_000 })
  await store.migrate([ORDER_EFFECTS])
  say('ready')
  for (let number = (await store.headPosition()) + 1; ; number += 5) {
    const units = Array.from({ length: 5 }, (_, index): Unit => {
      const text = `${number + index}`
      return {
        appends: [append(text.padEnd(600, '.'))],
        claims: [claim(text, { expiresAtMs: clock.now() + 86_400_000 })],
        rows: [{ collection: 'meta', key: text, row: { value: text } }],
        tx: (db) => db.run('INSERT INTO effects (text) VALUES ($1)', text).then(() => ({})),
      }
    })
    await store.commit(units)
    say(`acked ${number + 4}`)
    await clock.yield()
  }
} catch (error) {
  say(`error ${JSON.stringify(error)}`)
}
