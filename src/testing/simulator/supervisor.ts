import { inspectDisk, type MemoryDisk } from '../../store/index.ts'
import { isJuncturaError } from '../../kernel/index.ts'
import type { Runtime } from '../../runtime/index.ts'
import type { AttemptWatch } from './attempt-watch.ts'
import type { FaultDice } from './fault-dice.ts'
import type { Processes } from './processes.ts'
import type { Scheduler } from './scheduler.ts'
import type { SimulatedFile } from './simulated-file.ts'
import { isDamage, type NodeOptions, SimulatedNode } from './simulated-node.ts'
import type { SituationBook } from './situations.ts'
import type { SituationWatch } from './situation-watch.ts'

export interface SupervisorOptions {
  readonly scheduler: Scheduler
  readonly dice: FaultDice
  readonly disk: MemoryDisk
  readonly file: SimulatedFile
  readonly situations: SituationBook
  readonly watch: SituationWatch
  readonly attempts: () => AttemptWatch
  readonly node: Omit<NodeOptions, 'number' | 'onGone' | 'onBlocked' | 'onFrozen' | 'onReady'>
  readonly random: () => number
  readonly trace: (what: string) => void
}

const DOWN_MS_MAX = 5_000
/** After this without a sign of life another process takes over. */
const LEASE_MS = 8_000
const PAUSE_MS_MAX = 40_000
const JUMP_MS_MAX = 600_000
const CORRECTED_AFTER_MS_MAX = 30_000
const DRIFT_MAX = 0.05
/** A zombie that nobody needs any more is put down. */
const ZOMBIE_MS = 30_000

/**
 * Starts the processes of a world, one at a time on the disk: again after a death, another one when
 * the one that has the disk gives no sign of life, and then the first wakes up as a zombie.
 */
export class Supervisor implements Processes {
  readonly #options: SupervisorOptions
  readonly #nodes = new Set<SimulatedNode>()
  #current: SimulatedNode | undefined
  #count = 0
  #downSinceMs = 0
  #disturbedAtMs = 0
  #isWaiting = false
  #isOver = false

  constructor(options: SupervisorOptions) {
    this.#options = options
  }

  /** The process that has the disk, when it takes messages. */
  get runtime(): Runtime | undefined {
    return this.#current?.mode === 'running' ? this.#current.runtime : undefined
  }

  get runtimes(): readonly Runtime[] {
    return this.runtime ? [this.runtime] : []
  }

  forPeople(): Runtime | undefined {
    return this.runtime
  }

  look(): void {
    // Who takes over is decided here, not by the processes.
  }

  /** A process that a request may reach: now and then one that has lost the disk. */
  reachable(chance: number): Runtime | undefined {
    for (const node of this.#nodes) {
      if (node.isZombie && node.runtime && chance < 0.2) return node.runtime
    }
    return this.runtime
  }

  get disturbedAtMs(): number {
    return this.#disturbedAtMs
  }

  isCurrent(number: number): boolean {
    return this.#current?.number === number && !this.#current.isZombie
  }

  start(): void {
    if (this.#isOver || this.#current) return
    this.#disturb()
    const { node, trace } = this.#options
    this.#isWaiting = false
    const number = ++this.#count
    trace(`start node ${number}`)
    const started = new SimulatedNode({
      ...node,
      number,
      onGone: (gone, error) => this.#gone(gone, error),
      onBlocked: (blocked, ms) => this.#block(blocked, ms),
      onFrozen: (frozen) => this.#pause(frozen, this.#options.random() * PAUSE_MS_MAX),
      onReady: (ready) => this.#ready(ready),
    })
    this.#nodes.add(started)
    this.#current = started
  }

  /** Draws when what happens to the processes in this run. */
  plan(withinMs: number): void {
    const { dice, scheduler, random } = this.#options
    const at = (name: Parameters<FaultDice['planned']>[0], act: () => void): void => {
      for (const { atMs, take } of dice.planned(name, withinMs)) {
        scheduler.at(atMs, () => {
          if (this.#current?.mode !== 'running') return
          if (take()) act()
        })
      }
    }
    at('crashes', () => this.#current?.die())
    at('restarts', () => this.#restart())
    at('pauses', () => this.#pause(this.#current, random() * PAUSE_MS_MAX))
    at('clockJumps', () => this.#jump((random() - 0.5) * 2 * JUMP_MS_MAX))
    at('clockDrifts', () => {
      this.#disturb()
      this.#current?.clock.drift(1 + (random() - 0.5) * 2 * DRIFT_MAX)
    })
  }

  /** Nothing goes wrong any more: clocks are right, and whoever sleeps wakes up. */
  heal(): void {
    this.#disturb()
    for (const node of this.#nodes) {
      node.clock.resume()
      node.clock.drift(1)
      node.clock.correct()
    }
  }

  /** Stops the last process in order. */
  async end(): Promise<void> {
    this.#isOver = true
    for (const node of this.#nodes) if (node.isZombie) node.die()
    await this.#current?.stop()
  }

  #ready(node: SimulatedNode): void {
    const { watch, trace } = this.#options
    trace(`node ${node.number} runs`)
    watch.started(node.clock.now(), node.clock.now() - (this.#nowMs - this.#downSinceMs))
  }

  get #nowMs(): number {
    return this.#options.scheduler.nowMs
  }

  #disturb(): void {
    this.#disturbedAtMs = this.#nowMs
  }

  #gone(node: SimulatedNode, error: unknown): void {
    const { file, disk, situations, watch, trace } = this.#options
    this.#disturb()
    this.#nodes.delete(node)
    this.#options.attempts().died()
    const code = isJuncturaError(error) ? error.code : error === undefined ? '' : 'error'
    trace(`node ${node.number} is gone ${code}`)
    if (code === 'JUNCTURA_STORE_FENCED') situations.hit('zombie-fenced')
    if (isDamage(error)) {
      // Whoever is called brings the right bytes back.
      situations.hit('disk-damaged')
      file.repair()
    }
    if (node !== this.#current) return
    this.#current = undefined
    this.#downSinceMs = this.#nowMs
    watch.died()
    const head = inspectDisk(disk).headPosition
    const commits = file.read().length
    file.afterDeath()
    disk.crash()
    if (code === 'JUNCTURA_STORE_UNKNOWN') {
      const isThere = inspectDisk(disk).headPosition > head || file.read().length >= commits
      situations.hit(isThere ? 'commit-survived-unknown' : 'commit-lost-unknown')
    }
    this.#startSoon(this.#options.random() * DOWN_MS_MAX)
  }

  #startSoon(downMs: number): void {
    if (this.#isWaiting || this.#isOver) return
    this.#isWaiting = true
    this.#options.scheduler.at(downMs, () => this.start())
  }

  #restart(): void {
    const node = this.#current
    if (!node) return
    this.#disturb()
    if (this.#options.attempts().runningOn(node.number) > 0)
      this.#options.situations.hit('stop-while-handling')
    this.#options.trace(`stop node ${node.number}`)
    void node.stop()
  }

  #block(node: SimulatedNode, ms: number): void {
    if (ms > 2_000) this.#options.situations.hit('loop-blocked')
    this.#pause(node, ms)
  }

  #pause(node: SimulatedNode | undefined, ms: number): void {
    if (!node || node.clock.isPaused) return
    const { scheduler, trace } = this.#options
    this.#disturb()
    trace(`node ${node.number} stands still for ${ms.toFixed(0)}`)
    node.clock.pause()
    scheduler.at(ms, () => {
      this.#disturb()
      trace(`node ${node.number} goes on`)
      node.clock.resume()
    })
    scheduler.at(LEASE_MS, () => {
      if (node === this.#current && node.clock.isPaused) this.#takeOver(node)
    })
  }

  #takeOver(node: SimulatedNode): void {
    const { disk, file, situations, scheduler, trace } = this.#options
    trace(`node ${node.number} is taken over`)
    if (file.isSyncing) situations.hit('taken-over-while-syncing')
    this.#options.attempts().died()
    node.isZombie = true
    this.#current = undefined
    this.#downSinceMs = this.#nowMs
    disk.crash()
    file.takenOver()
    scheduler.at(PAUSE_MS_MAX + ZOMBIE_MS, () => node.die())
    this.start()
  }

  #jump(ms: number): void {
    const { scheduler, watch, random, trace } = this.#options
    const node = this.#current
    if (!node) return
    this.#disturb()
    trace(`the clock of node ${node.number} jumps by ${ms.toFixed(0)}`)
    watch.clockJumped()
    node.clock.jump(ms)
    scheduler.at(random() * CORRECTED_AFTER_MS_MAX, () => {
      this.#disturb()
      node.clock.correct()
    })
  }
}
