import { spawn, type ChildProcess } from 'node:child_process'
import { type CuttingProxy, startCuttingProxy } from './cutting-proxy.ts'
import {
  createEngine,
  type EngineInstance,
  type EngineName,
  type EngineOptions,
  FROZEN_FILE,
  LEADER_FILE,
} from './engine-instance.ts'
import { findFreePorts } from './free-ports.ts'
import { portAt } from './recipe.ts'

/**
 * A real server of its own: its data in a temporary folder, on loopback. It is started in a test by
 * `startEngine`, and then ends with the test's process, however that ends.
 */
export interface RunningEngine {
  readonly url: string
  /** Ends every process of the server at once, as a crash does. Idempotent. */
  kill(): Promise<void>
  /** Freezes every process of the server: connections stay open, nothing answers. */
  pause(): Promise<void>
  resume(): Promise<void>
  /** Starts it again on the same data and ports, in good order where it still runs. */
  restart(): Promise<void>
  /** As a lost disk: it runs again on the same ports, and is empty. */
  wipe(): Promise<void>
  /** Stops it and removes its data. Idempotent. */
  stop(): Promise<void>
}

/** Starts a server for a test; without what it needs on this machine, the test fails. */
export const startEngine = async (
  name: EngineName,
  options: EngineOptions = {},
): Promise<RunningEngine> => runEngine(await createEngine(name, options))

/** Starts one that was laid out; it ends with this process, however that ends. */
export const runEngine = async (engine: EngineInstance): Promise<RunningEngine> => {
  const watchdog = watch(engine.state.directory)
  const stop = async (): Promise<void> => {
    await engine.remove()
    watchdog.kill('SIGKILL')
  }
  try {
    await engine.start()
  } catch (error) {
    await stop()
    throw error
  }
  return {
    url: engine.url,
    kill: () => engine.kill(),
    pause: async () => engine.pause(),
    resume: async () => engine.resume(),
    restart: () => engine.restart(),
    wipe: () => engine.wipe(),
    stop,
  }
}

/** A server whose clients all come through a proxy, which can cut, slow and swallow. */
export interface ProxiedEngine extends RunningEngine {
  readonly proxy: CuttingProxy
}

export const startProxiedEngine = async (
  name: EngineName,
  options: Omit<EngineOptions, 'advertisedPort'> = {},
): Promise<ProxiedEngine> => {
  const [advertisedPort = 0] = await findFreePorts(1)
  const engine = await createEngine(name, { ...options, advertisedPort })
  const target = { host: '127.0.0.1', port: portAt(engine.state, 0) }
  const proxy = await startCuttingProxy(target, advertisedPort)
  try {
    const running = await runEngine(engine)
    const stop = async (): Promise<void> => {
      await proxy.close()
      await running.stop()
    }
    return { ...running, proxy, stop }
  } catch (error) {
    await proxy.close()
    throw error
  }
}

/**
 * For tests that only need a server: the one named by an environment variable, else a new one. It
 * may be shared with others: name what you make there after your test.
 */
export const engineForTests = async (
  name: EngineName,
): Promise<Pick<RunningEngine, 'url' | 'stop'>> => {
  const url = process.env[SHARED_URL[name]]
  return url ? { url, stop: () => Promise.resolve() } : await startEngine(name)
}

const SHARED_URL: Readonly<Record<EngineName, string>> = {
  postgres15: 'JUNCTURA_TEST_POSTGRES15_URL',
  postgres18: 'JUNCTURA_TEST_POSTGRES_URL',
  nats: 'JUNCTURA_TEST_NATS_URL',
  kafka: 'JUNCTURA_TEST_KAFKA_URL',
  rabbitmq: 'JUNCTURA_TEST_RABBITMQ_URL',
}

/**
 * A test that is killed half way must not leave a server behind: its end closes the pipe, and the
 * shell that waits for that ends the server and removes its data.
 */
function watch(directory: string): ChildProcess {
  const script = `cat > /dev/null
cd "$1" || exit 0
leader=$(cat ${LEADER_FILE} 2> /dev/null) && kill -KILL -- "-$leader"
frozen=$(cat ${FROZEN_FILE} 2> /dev/null) && kill -KILL $frozen
cd /
# What has just been killed may still be writing for a moment, above all the many of RabbitMQ.
for try in 1 2 3 4 5; do
  sleep 1
  rm -rf "$1" && break
done`
  const watchdog = spawn('sh', ['-c', script, 'sh', directory], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  })
  watchdog.unref()
  return watchdog
}
