import { it, expect } from 'vitest'
import { simulate, PROFILES } from '../../src/testing/index.ts'
import { shop } from './shop.fixture.ts'
it('sim', async () => {
  const from = Number(process.env.FROM ?? 1), to = Number(process.env.TO ?? 6)
  const t0 = performance.now(); let bad = 0
  for (let seed = from; seed <= to; seed++) {
    const profile = (process.env.PROFILE as never) ?? PROFILES[seed % PROFILES.length]!
    const r = await simulate(shop, { seed, profile, messages: 40, body: (_w, random, i) => ({ id: random.next() < 0.03 ? 'poison' : `k${Math.floor(random.next() * 6)}`, step: i }) })
    if (r.failures.length || process.env.SHOW) { bad++; console.log(seed, profile, r.failures.slice(0, 5), JSON.stringify(r.faults), r.accepted, r.effects, r.deadLetters, r.virtualMs); if (process.env.SHOW) console.log(r.lastEvents.slice(-15).join('\n'), r.traceHash) }
  }
  console.log('seeds', to - from + 1, 'bad', bad, 'ms', Math.round(performance.now() - t0))
  expect(bad).toBe(0)
}, 300000)
