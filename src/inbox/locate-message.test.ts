import { expect, it } from 'vitest'
import { createSeededRandom } from '../kernel/index.ts'
import { createMemoryStore } from '../store/index.ts'
import { createVirtualClock } from '../testing/index.ts'
import { locateMessage } from './locate-message.ts'

const HOUR_MS = 3_600_000
const idAt = (atMs: number, number: number): string =>
  `msg_${atMs.toString(16).padStart(12, '0')}7${String(number).padStart(19, '0')}`

it('finds each message also after the wall clock has jumped back and forward (F35)', async () => {
  const clock = createVirtualClock()
  const store = createMemoryStore({ clock, random: createSeededRandom(1) })
  const startMs = clock.now()
  const offsetsMs = [0, 1, 2, 24 * HOUR_MS, 24 * HOUR_MS + 1, -HOUR_MS, -HOUR_MS + 1, 3, 4]
  const ids = offsetsMs.map((offsetMs, number) => idAt(startMs + offsetMs, number))
  for (const [number, id] of ids.entries()) {
    const atMs = startMs + (offsetsMs[number] ?? 0)
    const bytes = Buffer.from(JSON.stringify({ id }))
    await store.commit([{ appends: [{ channel: 'orders', slot: 0, atMs, bytes }] }])
  }

  const positions = await Promise.all(ids.map((id) => locateMessage(store, id)))
  const unknown = await locateMessage(store, idAt(startMs, 99))

  expect(positions).toEqual(ids.map((_, number) => number + 1))
  expect(unknown).toBeUndefined()
})
