import { dirname } from 'node:path'
import { provision } from './provision.ts'
import {
  addCounts,
  type Counts,
  INTEGRATION_STEPS,
  runStep,
  summary,
  VERIFY_STEPS,
} from './steps.ts'

/** `npm test`: everything CI runs. Goes on after a failure, so that one run tells all of it. */
const root = dirname(import.meta.dirname)
const provisioned = await provision(root)
if (provisioned !== '') process.stdout.write(`- ${provisioned}\n`)

let counts: Counts = { passed: 0, failed: 0, skipped: 0 }

for (const step of [...VERIFY_STEPS, ...INTEGRATION_STEPS]) {
  const result = await runStep(root, step)
  counts = addCounts(counts, result.counts)
}

process.stdout.write(`\n${summary(counts)}\n`)
process.exitCode = counts.failed === 0 ? 0 : 1
