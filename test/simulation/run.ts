import { parseArgs } from 'node:util'
import { createSystemClock } from '../../src/kernel/index.ts'
import { PROFILES, type ProfileName, simulate } from '../../src/testing/index.ts'
import { shop, shopBody } from './shop.fixture.ts'

/**
 * `npm run sim -- [--seed N] [--seeds COUNT] [--profile P] [--messages N] [--trace]`: runs seeds of
 * the simulator. One seed replays exactly; a failure prints what to run again.
 */
const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    seeds: { type: 'string', default: '1' },
    profile: { type: 'string' },
    messages: { type: 'string', default: '40' },
    trace: { type: 'boolean', default: false },
  },
})

const isProfile = (name: string | undefined): name is ProfileName =>
  PROFILES.some((profile) => profile === name)

if (values.profile !== undefined && !isProfile(values.profile)) {
  console.error(`--profile ${values.profile}: allowed are ${PROFILES.join(', ')}`)
  process.exit(64)
}

const first = Number(values.seed)
const clock = createSystemClock()
const startedMs = clock.monotonicMs()
let failed = 0
for (let seed = first; seed < first + Number(values.seeds); seed++) {
  const profile = isProfile(values.profile) ? values.profile : PROFILES[seed % PROFILES.length]
  if (!profile) continue
  const report = await simulate(shop, {
    seed,
    profile,
    messages: Number(values.messages),
    body: shopBody,
  })
  const { failures, lastEvents, traceHash, ...figures } = report
  if (failures.length > 0) failed += 1
  if (failures.length > 0 || values.trace) {
    console.log(JSON.stringify({ ...figures, traceHash }))
    for (const failure of failures) console.log(`  ${failure}`)
    console.log(lastEvents.map((line) => `    ${line}`).join('\n'))
    if (failures.length > 0)
      console.log(`  again: npm run sim -- --seed ${seed} --profile ${profile} --trace`)
  }
}
const seconds = (clock.monotonicMs() - startedMs) / 1_000
console.log(`${values.seeds} seeds, ${failed} failed, ${seconds.toFixed(1)} s`)
process.exitCode = failed > 0 ? 1 : 0
