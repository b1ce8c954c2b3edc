import type { Random } from '../../kernel/index.ts'

/** What may go wrong, and how often: a chance for each time it could. */
export interface Faults {
  /** A commit fails with nothing written. */
  readonly commitFails: number
  /** A commit is on the disk and is reported as failed. */
  readonly commitLies: number
  /** The node dies just before a commit is on the disk. */
  readonly crashBeforeCommit: number
  /** The node dies just after a commit is on the disk, before anybody is told. */
  readonly crashAfterCommit: number
  /** The disk takes long. */
  readonly slowDisk: number
  /** A handler throws before it has done anything. */
  readonly handlerThrows: number
  /** A handler takes the process down before its transaction. */
  readonly handlerCrashes: number
  /** A handler throws after its transaction has committed. */
  readonly handlerThrowsLate: number
  /** A handler hangs until its deadline. */
  readonly handlerHangs: number
  /** The request never arrives. */
  readonly requestLost: number
  /** The request arrives, its answer does not. */
  readonly answerLost: number
  /** The request arrives twice. */
  readonly requestTwice: number
  /** The node dies at some moment; expected number in one run. */
  readonly crashes: number
  /** The wall clock jumps; expected number in one run. */
  readonly clockJumps: number
}

export type ProfileName = 'calm' | 'crashy' | 'slow-disk' | 'clock-mad' | 'overload' | 'everything'

export const NO_FAULTS: Faults = {
  commitFails: 0,
  commitLies: 0,
  crashBeforeCommit: 0,
  crashAfterCommit: 0,
  slowDisk: 0,
  handlerThrows: 0,
  handlerCrashes: 0,
  handlerThrowsLate: 0,
  handlerHangs: 0,
  requestLost: 0,
  answerLost: 0,
  requestTwice: 0,
  crashes: 0,
  clockJumps: 0,
}

/** The most that a profile may draw. */
const CEILINGS: Readonly<Record<ProfileName, Partial<Faults>>> = {
  calm: {},
  crashy: {
    crashBeforeCommit: 0.05,
    crashAfterCommit: 0.05,
    handlerCrashes: 0.05,
    crashes: 5,
    answerLost: 0.2,
  },
  'slow-disk': { slowDisk: 0.5, commitFails: 0.2, handlerHangs: 0.05 },
  'clock-mad': { clockJumps: 6, handlerThrows: 0.3, crashes: 2 },
  overload: { requestTwice: 0.8, requestLost: 0.3, answerLost: 0.3, slowDisk: 0.3 },
  everything: {
    commitFails: 0.1,
    commitLies: 0.02,
    crashBeforeCommit: 0.03,
    crashAfterCommit: 0.03,
    slowDisk: 0.2,
    handlerThrows: 0.3,
    handlerCrashes: 0.03,
    handlerThrowsLate: 0.1,
    handlerHangs: 0.03,
    requestLost: 0.2,
    answerLost: 0.2,
    requestTwice: 0.3,
    crashes: 4,
    clockJumps: 3,
  },
}

export const PROFILES: readonly ProfileName[] = [
  'calm',
  'crashy',
  'slow-disk',
  'clock-mad',
  'overload',
  'everything',
]

/**
 * Draws which faults exist in this run and how often: many defects show only with few kinds of
 * faults at a high rate, which an even mixture never gives.
 */
export const drawFaults = (profile: ProfileName, random: Random): Faults => {
  const drawn: Record<string, number> = { ...NO_FAULTS }
  for (const [name, ceiling] of Object.entries(CEILINGS[profile])) {
    const exists = random.next() < 0.6
    const strength = random.next()
    drawn[name] = exists ? ceiling * strength : 0
  }
  return { ...NO_FAULTS, ...drawn }
}
