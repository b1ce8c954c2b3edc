import { type Integration, storeRecords } from '../../contract/index.ts'
import { bodyOfBytes, type Ingress } from '../../ingress/index.ts'
import {
  type Clock,
  createIds,
  createSystemClock,
  JuncturaError,
  type Kernel,
  LIMITS,
  silentLogger,
  sleep,
} from '../../kernel/index.ts'
import type { AlertNotification } from '../../observe/index.ts'
import { createRuntime, type OperationCommand, type Runtime } from '../../runtime/index.ts'
import {
  type AlertRow,
  createMemoryDisk,
  createMemoryStore,
  type MemoryDisk,
  type Store,
} from '../../store/index.ts'
import type { VirtualClock } from '../virtual-clock.ts'
import { createVirtualKernel } from '../virtual-kernel.ts'
import type { TestRequest } from './test-partner.ts'

/** Where a process dies: with nothing on the disk, or with everything and nobody told. */
export type DeathPoint = 'before-commit' | 'after-commit'

/**
 * What stands between a case and what it tries. Only for tests of the cases themselves: each puts
 * a defect in, and a case has to find it.
 */
export interface BenchSeams {
  readonly store?: (store: Store) => Store
  readonly ingress?: (ingress: Ingress) => Ingress
  /** What runs instead of what is declared. */
  readonly integration?: (integration: Integration) => Integration
}

export interface BenchOptions {
  readonly integration: Integration
  readonly seed: number
  readonly env?: Readonly<Record<string, string>>
  readonly files?: Readonly<Record<string, Uint8Array>>
  readonly seams: BenchSeams
  /** Sagas run through anew at each step. */
  readonly alwaysSuspend?: boolean
  /** Asked at each commit, before and after; true ends the process there. */
  readonly isDeath?: (point: DeathPoint) => boolean
}

export interface TestAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** Of a JSON body; empty where there is none. */
  readonly body: Readonly<Record<string, unknown>>
}

export interface SentAlert {
  readonly alert: AlertRow
  readonly notification: AlertNotification
}

/** One memory disk under virtual time, and the processes that come and go on it. */
export interface TestBench {
  readonly clock: VirtualClock
  readonly disk: MemoryDisk
  readonly runtime: Runtime
  readonly isUp: boolean
  /** Processes that died so far: tells code of a dead process that it is. */
  readonly deaths: number
  /** Notifications that were sent, over all processes. */
  readonly sent: readonly SentAlert[]
  /** Starts a process on the disk. False when it died on the way. */
  start(): Promise<boolean>
  /** The process is gone; what was not committed is lost. */
  crash(): void
  /** The process dies at the next commit. */
  dieAt(point: DeathPoint): void
  /** Undefined when no answer came: the process died. */
  send(request: TestRequest): Promise<TestAnswer | undefined>
  /** Lets time pass as far as `work` needs it. Undefined when the process died. */
  drive<T>(work: Promise<T>): Promise<T | undefined>
  operate(command: OperationCommand): Promise<unknown>
  pass(ms: number): Promise<void>
  /** The same, ending at once where the process dies. */
  passWhileUp(ms: number): Promise<void>
  /** Runs a handler: while it is on its way outside of virtual time, a moment is waited for it. */
  attend<T>(work: Promise<T>): Promise<T>
  /** Records in the log. */
  head(): Promise<number>
}

/** Turns of the loop in which nothing reaches the store: then everything waits for time. */
const QUIET_TURNS = 6
/**
 * So long, in real time, a handler is waited for that reads a file or asks another process; virtual
 * time stands still meanwhile. After that it is one that hangs.
 */
const OUTSIDE_MS_MAX = 1_000
/** An answer that takes longer does not come. */
const DRIVE_MS_MAX = 120_000

export const createTestBench = (options: BenchOptions): TestBench => {
  const { seams } = options
  const shared = createVirtualKernel(options)
  const disk = createMemoryDisk()
  const sent: SentAlert[] = []
  /** The one thing that is real: how long a handler is away from here. */
  const outside = createSystemClock()
  /** Handlers that run, and since when. */
  const attended = new Map<object, number>()
  let process: TestProcess | undefined
  let death: DeathPoint | undefined
  let deaths = 0
  /** Calls of the store, and turns that somebody waits for: while it grows, something goes on. */
  let activity = 0

  const isWaitedFor = (): boolean => {
    const nowMs = outside.monotonicMs()
    return [...attended.values()].some((sinceMs) => nowMs - sinceMs < OUTSIDE_MS_MAX)
  }
  const settle = async (): Promise<void> => {
    let before = -1
    for (let quiet = 0; quiet < QUIET_TURNS; quiet++) {
      if (activity !== before) quiet = 0
      before = activity
      await shared.clock.yield()
      if (quiet < QUIET_TURNS - 1 || !isWaitedFor()) continue
      await sleep(outside, 1)
      quiet = 0
    }
  }
  const crash = (): void => {
    process?.kill()
    process = undefined
    deaths += 1
    attended.clear()
    disk.crash()
  }
  const atFault = async (point: DeathPoint | 'read'): Promise<void> => {
    activity += 1
    const isDeath = point !== 'read' && options.isDeath?.(point) === true
    if (death !== point && !isDeath) return
    death = undefined
    crash()
    await never()
  }
  const boot = async (mortal: TestProcess): Promise<void> => {
    const { clock } = mortal
    const ids = createIds(clock, shared.random)
    const kernel: Kernel = { ...shared, clock, ids, log: silentLogger }
    const memory = createMemoryStore({ clock, random: shared.random, disk, fault: atFault })
    mortal.runtime = await createRuntime(
      storeRecords(seams.integration?.(options.integration) ?? options.integration),
      {
        kernel,
        store: seams.store?.(memory) ?? memory,
        ...(options.alwaysSuspend === true && { alwaysSuspend: true }),
        send: (alert, notification) => {
          sent.push({ alert, notification })
          return Promise.resolve()
        },
      },
    )
  }

  const passUntil = async (ms: number, isOver: () => boolean): Promise<void> => {
    const endMs = shared.clock.monotonicMs() + ms
    for (;;) {
      await settle()
      if (isOver()) return
      const nextMs = shared.clock.pendingTimers[0] ?? endMs
      const nowMs = shared.clock.monotonicMs()
      if (nextMs >= endMs) {
        await shared.clock.advance(Math.max(0, endMs - nowMs))
        return settle()
      }
      await shared.clock.advance(Math.max(0, nextMs - nowMs))
    }
  }

  const bench: TestBench = {
    clock: shared.clock,
    disk,
    sent,
    crash,
    get runtime() {
      if (process?.runtime) return process.runtime
      throw new JuncturaError('JUNCTURA_CLOSED', { details: { what: 'The process under test' } })
    },
    get isUp() {
      return process?.runtime !== undefined
    },
    get deaths() {
      return deaths
    },
    async start() {
      process = createProcess(shared.clock, () => {
        activity += 1
      })
      await bench.drive(boot(process))
      return bench.isUp
    },
    dieAt: (point) => void (death = point),
    async send(request) {
      const { ingress } = bench.runtime
      const border = seams.ingress?.(ingress) ?? ingress
      const answer = await bench.drive(
        border.handle({
          method: 'POST',
          target: request.path,
          rawHeaders: Object.entries(request.headers).flat(),
          remoteAddress: '192.0.2.1',
          body: bodyOfBytes(request.body),
        }),
      )
      return answer && { ...answer, body: readJson(answer.body) }
    },
    async drive<T>(work: Promise<T>): Promise<T | undefined> {
      const endMs = shared.clock.monotonicMs() + DRIVE_MS_MAX
      const alive = process
      let result: { readonly value: T } | undefined
      let failure: { readonly error: unknown } | undefined
      work.then(
        (value) => (result = { value }),
        (error: unknown) => (failure = { error }),
      )
      for (;;) {
        await settle()
        if (failure) throw failure.error
        if (result) return result.value
        const nextMs = shared.clock.pendingTimers[0]
        if (process !== alive || nextMs === undefined || nextMs > endMs) return undefined
        await shared.clock.advance(Math.max(0, nextMs - shared.clock.monotonicMs()))
      }
    },
    operate: (command) =>
      bench.drive(
        bench.runtime
          .operate(command, { actor: 'contract-tests', reason: 'a test', origin: 'test' })
          .then(({ result }) => result),
      ),
    pass: (ms) => passUntil(ms, () => false),
    passWhileUp: (ms) => {
      const before = deaths
      return passUntil(ms, () => deaths !== before)
    },
    async attend(work) {
      const token = {}
      attended.set(token, outside.monotonicMs())
      try {
        return await work
      } finally {
        attended.delete(token)
        activity += 1
      }
    },
    async head() {
      const overview = await bench.drive(bench.runtime.overview())
      return overview?.store.headPosition ?? 0
    },
  }
  return bench
}

interface TestProcess {
  readonly clock: Clock
  runtime: Runtime | undefined
  kill(): void
}

/** Timers of a process that is gone never fire, and what it waits for never comes. */
function createProcess(clock: VirtualClock, onYield: () => void): TestProcess {
  let isDead = false
  return {
    runtime: undefined,
    clock: {
      now: () => clock.now(),
      monotonicMs: () => clock.monotonicMs(),
      setTimer: (delayMs, run) =>
        clock.setTimer(delayMs, () => {
          if (!isDead) run()
        }),
      yield: async () => {
        onYield()
        await clock.yield()
        if (isDead) await never()
      },
    },
    kill: () => {
      isDead = true
    },
  }
}

/** Never settles, as the code of a process that is gone. */
export const never = (): Promise<never> => new Promise<never>(() => undefined)

function readJson(text: string): Readonly<Record<string, unknown>> {
  if (text === '') return {}
  const value: unknown = JSON.parse(text)
  return typeof value === 'object' && value !== null ? { ...value } : {}
}

/** Starts processes until one stays, as a supervisor does; false when none does. */
export const supervise = async (bench: TestBench): Promise<boolean> => {
  for (let starts = 0; starts <= LIMITS.crashesMax + 2; starts++) {
    if (!(await bench.start())) continue
    await bench.pass(1_000)
    if (bench.isUp) return true
  }
  return false
}
