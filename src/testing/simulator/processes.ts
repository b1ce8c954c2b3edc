import type { Runtime } from '../../runtime/index.ts'
import type { LanePlace } from './lease-book.ts'

/** The processes of a world, however many there are. */
export interface Processes {
  /** Those that take messages. */
  readonly runtimes: readonly Runtime[]
  /** One that people reach now; whoever asks again may reach another. */
  forPeople(): Runtime | undefined
  /** One that a request reaches now. */
  reachable(chance: number): Runtime | undefined
  /** Time and processes have been left alone since. */
  readonly disturbedAtMs: number
  /** Whether what this process does there counts: another one may have its place. */
  isCurrent(node: number, place: LanePlace): boolean
  start(): void
  /** Draws when what happens to the processes in this run. */
  plan(withinMs: number): void
  /** Called after each event. */
  look(): void
  /** Nothing goes wrong any more: clocks are right, and whoever sleeps wakes up. */
  heal(): void
  /** Stops the last ones in order. */
  end(): Promise<void>
}
