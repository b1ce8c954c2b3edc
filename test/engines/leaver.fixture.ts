import { startEngine } from './engine.ts'

/** A test that is killed before it could stop its server. */
const engine = await startEngine('postgres18')
await engine.pause()
process.stdout.write(`${engine.url}\n`)
await new Promise((resolve) => void setTimeout(resolve, 600_000))
