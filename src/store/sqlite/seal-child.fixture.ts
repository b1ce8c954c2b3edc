import { writeSync } from 'node:fs'
import { createSystemClock, createSystemRandom, LIMITS } from '../../kernel/index.ts'
import { append, claim } from '../units.fixture.ts'
import { createSqliteStore } from './sqlite-store.ts'

/** A process to be killed while it seals keys: a thousand to a commit, under the lowest ceiling. */
const KEYS_PER_COMMIT = 1_000

const [, , directory = ''] = process.argv
const clock = createSystemClock()
const random = createSystemRandom()
const dedupeBytesMax = LIMITS.dedupeBytesMin
const store = await createSqliteStore({ directory, clock, random, dedupeBytesMax })
writeSync(1, 'ready\n')
for (let position = (await store.headPosition()) + 1; ; position += 1) {
  const expiresAtMs = clock.now() + 86_400_000
  const claims = Array.from({ length: KEYS_PER_COMMIT }, (_, at) =>
    claim(`${position}/${at}`, { expiresAtMs }),
  )
  await store.commit([{ appends: [append(`${position}`)], claims }])
  writeSync(1, `acked ${position}\n`)
  await clock.yield()
}
