import { parentPort, workerData } from 'node:worker_threads'
import { runSeed } from './run-seed.ts'

const { seeds, options }: { seeds: readonly number[]; options: Parameters<typeof runSeed>[1] } =
  workerData

for (const seed of seeds) parentPort?.postMessage({ seed, report: await runSeed(seed, options) })
