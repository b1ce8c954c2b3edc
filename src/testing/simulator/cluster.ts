import type { Runtime } from '../../runtime/index.ts'
import { isJuncturaError } from '../../kernel/index.ts'
import type { AttemptWatch } from './attempt-watch.ts'
import type { FaultDice } from './fault-dice.ts'
import type { LanePlace } from './lease-book.ts'
import type { Processes } from './processes.ts'
import type { Scheduler } from './scheduler.ts'
import type { SharedServer, TakenLease } from './shared-server.ts'
import { type NodeOptions, SimulatedNode } from './simulated-node.ts'
import type { SituationBook } from './situations.ts'
import type { SituationWatch } from './situation-watch.ts'

export interface ClusterOptions {
  readonly scheduler: Scheduler
  readonly dice: FaultDice
  readonly server: SharedServer
  readonly situations: SituationBook
  readonly watch: SituationWatch
  readonly attempts: () => AttemptWatch
  readonly node: Omit<NodeOptions, 'number' | 'onGone' | 'onBlocked' | 'onFrozen' | 'onReady'>
  readonly random: () => number
  readonly fail: (sentence: string) => void
  readonly trace: (what: string) => void
}

/** A place where a process runs, and is started again. */
interface Place {
  node: SimulatedNode | undefined
  /** When the process that is there began to run, or went on. */
  wellSinceMs: number
  isWaiting: boolean
}

const PLACES_MIN = 2
export const PLACES_MAX = 3
const STAGGER_MS_MAX = 500
const DOWN_MS_MAX = 5_000
const PAUSE_MS_MAX = 40_000
const JUMP_MS_MAX = 600_000
const CORRECTED_AFTER_MS_MAX = 30_000
const DRIFT_MAX = 0.05
/**
 * A lease is free, and a process that runs has not taken it for so long: nobody takes over. Who
 * runs alone what was in flight, on a slow store, takes nothing more meanwhile.
 */
const TAKE_OVER_MS_MAX = 60_000
const LOOKED_EVERY = 64

/**
 * Several processes on one shared store: each dies, sleeps longer than a lease and wakes as one
 * that has lost it, is stopped in order alone or all of them in turn, and comes again.
 */
export class Cluster implements Processes {
  readonly #options: ClusterOptions
  readonly #places: readonly Place[]
  #count = 0
  #asked = 0
  #looks = 0
  #disturbedAtMs = 0
  #isOver = false

  constructor(options: ClusterOptions) {
    this.#options = options
    const more = options.random() < 0.5 ? PLACES_MAX : PLACES_MIN
    this.#places = Array.from({ length: more }, () => ({
      node: undefined,
      wellSinceMs: 0,
      isWaiting: false,
    }))
  }

  get runtimes(): readonly Runtime[] {
    return this.#running.flatMap(({ runtime }) => runtime ?? [])
  }

  forPeople(): Runtime | undefined {
    const { runtimes } = this
    return runtimes[this.#asked++ % runtimes.length]
  }

  reachable(chance: number): Runtime | undefined {
    const { runtimes } = this
    return runtimes[Math.floor(chance * runtimes.length)]
  }

  get disturbedAtMs(): number {
    return this.#disturbedAtMs
  }

  isCurrent(number: number, place: LanePlace): boolean {
    return this.#options.server.leases.isLast(number, place)
  }

  start(): void {
    const { scheduler, random } = this.#options
    for (const place of this.#places) {
      scheduler.at(random() * STAGGER_MS_MAX, () => this.#start(place))
    }
  }

  plan(withinMs: number): void {
    const { dice, scheduler, random, server } = this.#options
    server.plan(withinMs)
    const at = (
      name: Parameters<FaultDice['planned']>[0],
      act: (node: SimulatedNode) => void,
    ): void => {
      for (const { atMs, take } of dice.planned(name, withinMs)) {
        scheduler.at(atMs, () => {
          const node = this.#running[Math.floor(random() * this.#running.length)]
          if (node && take()) act(node)
        })
      }
    }
    at('crashes', (node) => node.die())
    at('restarts', (node) => void this.#stop(node))
    at('rollingRestarts', () => void this.#roll())
    at('pauses', (node) => this.#pause(node, random() * PAUSE_MS_MAX))
    at('clockJumps', (node) => this.#jump(node, (random() - 0.5) * 2 * JUMP_MS_MAX))
    at('clockDrifts', ({ clock }) => {
      this.#disturb()
      clock.drift(1 + (random() - 0.5) * 2 * DRIFT_MAX)
    })
  }

  look(): void {
    if (++this.#looks % LOOKED_EVERY !== 0 || this.#isOver) return
    const { server, fail } = this.#options
    const { upSinceMs } = server
    if (upSinceMs === undefined) return
    const well = this.#places.filter(({ node }) => node?.mode === 'running' && !node.clock.isPaused)
    const wellSinceMs = Math.min(...well.map((place) => place.wellSinceMs))
    for (const { name, sinceMs } of server.leases.free()) {
      const waitedMs = this.#nowMs - Math.max(sinceMs, wellSinceMs, upSinceMs)
      if (waitedMs > TAKE_OVER_MS_MAX)
        fail(`nobody has taken ${name} over for ${TAKE_OVER_MS_MAX / 1_000} s, and a process runs`)
    }
  }

  heal(): void {
    this.#disturb()
    this.#options.server.heal()
    for (const place of this.#places) {
      const { node } = place
      place.wellSinceMs = this.#nowMs
      node?.clock.resume()
      node?.clock.drift(1)
      node?.clock.correct()
    }
  }

  async end(): Promise<void> {
    this.#isOver = true
    await Promise.all(this.#running.map((node) => node.stop()))
  }

  get #running(): readonly SimulatedNode[] {
    return this.#places.flatMap(({ node }) => (node?.mode === 'running' ? node : []))
  }

  get #nowMs(): number {
    return this.#options.scheduler.nowMs
  }

  #disturb(): void {
    this.#disturbedAtMs = this.#nowMs
  }

  #start(place: Place): void {
    place.isWaiting = false
    if (this.#isOver || place.node) return
    this.#disturb()
    const { node, trace, random, watch, situations } = this.#options
    const number = ++this.#count
    trace(`start node ${number}`)
    place.node = new SimulatedNode({
      ...node,
      number,
      onGone: (gone, error) => this.#gone(place, gone, error),
      onBlocked: (blocked, ms) => {
        if (ms > 2_000) situations.hit('loop-blocked')
        this.#pause(blocked, ms)
      },
      onFrozen: (frozen) => this.#pause(frozen, random() * PAUSE_MS_MAX),
      onReady: (ready) => {
        trace(`node ${number} runs`)
        place.wellSinceMs = this.#nowMs
        watch.started(ready.clock.now(), ready.clock.now())
      },
    })
  }

  #gone(place: Place, node: SimulatedNode, error: unknown): void {
    const { scheduler, trace, situations, attempts, watch, random } = this.#options
    this.#disturb()
    attempts().died()
    const code = isJuncturaError(error) ? error.code : error === undefined ? '' : 'error'
    trace(`node ${node.number} is gone ${code}`)
    if (code === 'JUNCTURA_STORE_FENCED') situations.hit('zombie-fenced')
    watch.died()
    place.node = undefined
    if (place.isWaiting || this.#isOver) return
    place.isWaiting = true
    scheduler.at(random() * DOWN_MS_MAX, () => this.#start(place))
  }

  async #stop(node: SimulatedNode): Promise<void> {
    const { attempts, situations, trace } = this.#options
    this.#disturb()
    if (attempts().runningOn(node.number) > 0) situations.hit('stop-while-handling')
    trace(`stop node ${node.number}`)
    await node.stop()
  }

  /** As a deployment does: one after the other, each when the one before runs again. */
  async #roll(): Promise<void> {
    const { scheduler, situations } = this.#options
    const isOld = new Set(this.#running)
    for (const place of this.#places) {
      const { node } = place
      if (!node || !isOld.has(node)) continue
      await this.#stop(node)
      for (let tries = 0; tries < 60 && place.node?.mode !== 'running'; tries++) {
        await scheduler.sleep(500)
      }
    }
    situations.hit('rolling-restart')
  }

  #pause(node: SimulatedNode, ms: number): void {
    if (node.clock.isPaused) return
    const { scheduler, trace } = this.#options
    this.#disturb()
    trace(`node ${node.number} stands still for ${ms.toFixed(0)}`)
    node.clock.pause()
    scheduler.at(ms, () => {
      this.#disturb()
      trace(`node ${node.number} goes on`)
      node.clock.resume()
      for (const place of this.#places) if (place.node === node) place.wellSinceMs = this.#nowMs
    })
  }

  #jump({ number, clock }: SimulatedNode, ms: number): void {
    const { scheduler, watch, random, trace } = this.#options
    this.#disturb()
    trace(`the clock of node ${number} jumps by ${ms.toFixed(0)}`)
    watch.clockJumped()
    clock.jump(ms)
    scheduler.at(random() * CORRECTED_AFTER_MS_MAX, () => {
      this.#disturb()
      clock.correct()
    })
  }

  /** A process has taken a lease that another one had. */
  taken({ name, before, isGivenBack }: TakenLease): void {
    if (before === undefined || !name.startsWith('consumer')) return
    const { attempts, situations } = this.#options
    this.#disturb()
    attempts().died()
    if (isGivenBack) return situations.hit('handed-over-in-order')
    const isAlive = this.#running.some(({ number }) => number === before)
    if (isAlive && attempts().runningOn(before) > 0) situations.hit('taken-over-while-handling')
  }
}
