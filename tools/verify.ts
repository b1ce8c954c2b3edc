import { dirname } from 'node:path'
import { addCounts, type Counts, runStep, summary, VERIFY_STEPS } from './steps.ts'

/** `npm run verify`: what stands before a commit, to the first failure. */
const root = dirname(import.meta.dirname)
let counts: Counts = { passed: 0, failed: 0, skipped: 0 }

for (const step of VERIFY_STEPS) {
  const result = await runStep(root, step)
  counts = addCounts(counts, result.counts)
  if (!result.ok) break
}

process.stdout.write(`\n${summary(counts)}\n`)
process.exitCode = counts.failed === 0 ? 0 : 1
