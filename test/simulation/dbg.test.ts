import { it } from 'vitest'
import { simulate } from '../../src/testing/index.ts'
import { diskOf } from '../../src/store/memory/memory-disk.ts'
import { shop } from './shop.fixture.ts'
it('dbg', async () => {
  const seed = Number(process.env.SEED)
  const r = await simulate(shop, { seed, profile: process.env.PROFILE as never, messages: 40, body: (_w, random, i) => ({ id: random.next() < 0.03 ? 'poison' : `k${Math.floor(random.next() * 6)}`, step: i }),
   check: async (w) => {
     const d = diskOf(w.disk)
     for (const c of ['progress','lanes','successors','suspects','timers'] as const) { const col = d.collection(c) as never as { scan(q: unknown): string[]; value(k: string): string }; for (const k of col.scan({ collection: c, limit: 50 })) console.log(c, JSON.stringify(k), col.value(k)) }
     return []
   } })
  console.log(r.failures.slice(0,3), r.lastEvents.slice(-30).join('\n'))
}, 300000)
