import {
  createEngine,
  EngineInstance,
  ENGINE_NAMES,
  type EngineName,
  fetchEngine,
  isEngineName,
} from './engine-instance.ts'
import { loadState, removeState, saveState } from './state-files.ts'

/**
 * `npm run engines -- up|down|kill|pause|resume|restart|wipe NAME...`: real servers to work with,
 * on free ports of loopback, their data in temporary folders. `up` prints one line of JSON, name to
 * URL.
 */
const VERBS: Readonly<Record<string, (engine: EngineInstance) => Promise<void> | void>> = {
  kill: (engine) => engine.kill(),
  pause: (engine) => engine.pause(),
  resume: (engine) => engine.resume(),
  restart: (engine) => engine.restart(),
  wipe: (engine) => engine.wipe(),
}

const USAGE = `npm run --silent engines -- VERB NAME...
  fetch    only brings what the engine needs to this machine, once
  up       starts what does not run yet; prints one line of JSON, name to URL
  down     stops, and removes the data
  kill     ends every process at once, as a crash does; the data stays
  pause    freezes every process; resume lets them go on
  restart  stops in good order where it runs, and starts on the same data and ports
  wipe     loses the data and starts empty on the same ports
NAME: ${ENGINE_NAMES.join(', ')}, or all`

const up = async (name: EngineName): Promise<string> => {
  const known = loadState(name)
  const engine = known === undefined ? await createEngine(name, {}) : new EngineInstance(known)
  // Before it runs: what is interrupted half way is found again by "down".
  saveState(engine.state)
  await engine.start()
  saveState(engine.state)
  return engine.url
}

const down = async (name: EngineName): Promise<void> => {
  const known = loadState(name)
  if (known !== undefined) await new EngineInstance(known).remove()
  removeState(name)
}

const act = async (verb: string, name: EngineName): Promise<void> => {
  if (verb === 'fetch') return await fetchEngine(name)
  if (verb === 'down') return await down(name)
  const known = loadState(name)
  if (known === undefined) throw new Error(`${name} is not up: npm run engines -- up ${name}`)
  const engine = new EngineInstance(known)
  await VERBS[verb]?.(engine)
  saveState(engine.state)
}

const [verb = '', ...given] = process.argv.slice(2)
const names = given.includes('all') ? ENGINE_NAMES : given.filter(isEngineName)
const isVerb = ['fetch', 'up', 'down'].includes(verb) || Object.hasOwn(VERBS, verb)
if (!isVerb || names.length === 0 || (names !== ENGINE_NAMES && names.length < given.length)) {
  process.stderr.write(`${USAGE}\n`)
  process.exit(2)
}
const urls: Record<string, string> = {}
try {
  for (const name of names) {
    if (verb === 'up') urls[name] = await up(name)
    else await act(verb, name)
  }
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
}
if (verb === 'up' && process.exitCode === undefined)
  process.stdout.write(`${JSON.stringify(urls)}\n`)
