import { workerData } from 'node:worker_threads'
import { runSeed } from './run-seed.ts'

const { seeds, options }: { seeds: readonly number[]; options: Parameters<typeof runSeed>[1] } =
  workerData

// One line for each seed, which the other thread reads.
for (const seed of seeds) {
  const report = await runSeed(seed, options)
  console.log(JSON.stringify({ seed, report }))
}
