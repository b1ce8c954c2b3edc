import type { Random } from '../../kernel/index.ts'

/** What may go wrong, and how often. */
export interface Faults {
  /** Chance that a commit fails with nothing written. */
  readonly commitFails: number
  /** Chance that a commit is on the disk and is reported as failed. */
  readonly commitLies: number
  /** Chance that the disk is full for a commit. */
  readonly diskFull: number
  /** Chance that an fsync fails; what it should have synced may or may not be there afterwards. */
  readonly syncFails: number
  /** Chance that the node dies while a commit is being synced. */
  readonly crashBeforeCommit: number
  /** Chance that the node dies when a commit is on the disk, before anybody is told. */
  readonly crashAfterCommit: number
  /** Chance that a death takes the power as well: what was not synced is lost, or torn. */
  readonly powerLoss: number
  /** Chance that the disk takes long. */
  readonly slowDisk: number
  /** Chance that a read of the store fails. */
  readonly readFails: number
  /** Chance that a read of the store takes a while, so that other things happen first. */
  readonly slowRead: number
  /** Chance that a bit of the disk is flipped when a node dies, until somebody repairs it. */
  readonly bitFlips: number
  /** Chance that a handler throws before it has done anything. */
  readonly handlerThrows: number
  /** Chance that a handler throws after its transaction has committed. */
  readonly handlerThrowsLate: number
  /** Chance that a handler takes up to half a second, so that other things happen meanwhile. */
  readonly handlerTakes: number
  /** Chance that a handler hangs until its deadline. */
  readonly handlerHangs: number
  /** Chance that a handler goes on long after its deadline, and then tries to have its effect. */
  readonly handlerWakesLate: number
  /** Chance that a handler blocks its process for a while. */
  readonly handlerBlocks: number
  /** Chance that a handler takes the process down before its transaction. */
  readonly handlerCrashes: number
  /** Share of the messages that take the process down whenever they are handled. */
  readonly killers: number
  /** Chance that a request never arrives. */
  readonly requestLost: number
  /** Chance that a request arrives and its answer does not. */
  readonly answerLost: number
  /** Chance that a request arrives twice, the second while the first is under way. */
  readonly requestTwice: number
  /** Chance that a sender sends five at once after a failure. */
  readonly retryStorm: number
  /** Chance that a sender repeats a message later, though it was accepted. */
  readonly lateRepeat: number
  /** Chance that a sender uses the id of an accepted message for another body. */
  readonly otherBody: number
  /** Chance that a notification is not taken, or taken and reported as failed. */
  readonly notifyFails: number
  /** The node dies at some moment; expected number in one run. */
  readonly crashes: number
  /** The node is paused; if for long, another takes over and it wakes as a zombie; number. */
  readonly pauses: number
  /** Chance that the node is paused just while a commit is being synced. */
  readonly pausesInSync: number
  /** The node is stopped in order and started again; expected number. */
  readonly restarts: number
  /** The wall clock jumps, and is set right after a while; expected number. */
  readonly clockJumps: number
  /** A node's clock runs up to a twentieth too fast or too slow; expected number. */
  readonly clockDrifts: number
  /** A broker stands between the log and the consumers: above 0, it does. */
  readonly broker: number
  /** Chance that the broker confirms nothing of a publish, though it may have taken some or all. */
  readonly brokerFails: number
  /** Chance that the broker does not bring a message to a process. */
  readonly brokerLoses: number
  /** The broker is away for up to a minute; expected number. */
  readonly brokerOutages: number
  /** The broker forgets everything; expected number. */
  readonly brokerWipes: number
  /** Chance that several processes run at once, on one shared store with leases. */
  readonly cluster: number
  /** The shared store is away for up to fifteen seconds; expected number. */
  readonly storeOutages: number
  /** Chance that a process does not hear that another one has appended something. */
  readonly newsLost: number
  /** All processes are stopped in order and started again, one after the other; number. */
  readonly rollingRestarts: number
  /** Chance that a statement of a relay fails in the database of its outbox. */
  readonly outboxFails: number
  /** Chance that such a statement is done and its answer never comes. */
  readonly outboxLies: number
  /** Chance that such a statement takes up to two seconds each way. */
  readonly outboxSlow: number
  /** The database of an outbox is away for up to a minute; expected number. */
  readonly outboxOutages: number
  /** Chance that a service rolls its transaction back after it has written. */
  readonly outboxRollbacks: number
  /** Chance that a service keeps its transaction open for up to four minutes. */
  readonly outboxHangs: number
  /** Somebody keeps a transaction open beside an outbox for minutes; expected number. */
  readonly outboxNeighbours: number
  /** Chance that a row of an outbox breaks its contract. */
  readonly outboxInvalid: number
  /** Things that people do: retry, drop, replay, pause, acknowledge; expected number. */
  readonly operations: number
}

export type FaultName = keyof Faults

export type ProfileName =
  | 'calm'
  | 'crashy'
  | 'slow-disk'
  | 'clock-mad'
  | 'overload'
  | 'everything'
  | 'broker'
  | 'outbox'
  | 'cluster'
  | 'flows'

export const NO_FAULTS: Faults = {
  commitFails: 0,
  commitLies: 0,
  diskFull: 0,
  syncFails: 0,
  crashBeforeCommit: 0,
  crashAfterCommit: 0,
  powerLoss: 0,
  slowDisk: 0,
  readFails: 0,
  slowRead: 0,
  bitFlips: 0,
  handlerThrows: 0,
  handlerThrowsLate: 0,
  handlerTakes: 0,
  handlerHangs: 0,
  handlerWakesLate: 0,
  handlerBlocks: 0,
  handlerCrashes: 0,
  killers: 0,
  requestLost: 0,
  answerLost: 0,
  requestTwice: 0,
  retryStorm: 0,
  lateRepeat: 0,
  otherBody: 0,
  notifyFails: 0,
  crashes: 0,
  pauses: 0,
  pausesInSync: 0,
  restarts: 0,
  clockJumps: 0,
  clockDrifts: 0,
  broker: 0,
  brokerFails: 0,
  brokerLoses: 0,
  brokerOutages: 0,
  brokerWipes: 0,
  cluster: 0,
  storeOutages: 0,
  newsLost: 0,
  rollingRestarts: 0,
  outboxFails: 0,
  outboxLies: 0,
  outboxSlow: 0,
  outboxOutages: 0,
  outboxRollbacks: 0,
  outboxHangs: 0,
  outboxNeighbours: 0,
  outboxInvalid: 0,
  operations: 0,
}

/** The most that a profile may draw. */
const CEILINGS: Readonly<Record<ProfileName, Partial<Faults>>> = {
  // What people and partners do on any day; nothing fails.
  calm: { slowRead: 0.2, handlerTakes: 0.3, lateRepeat: 0.2, operations: 4, restarts: 1 },
  crashy: {
    crashBeforeCommit: 0.006,
    crashAfterCommit: 0.006,
    powerLoss: 1,
    bitFlips: 0.2,
    slowRead: 0.2,
    handlerTakes: 0.3,
    handlerThrows: 0.2,
    handlerCrashes: 0.02,
    killers: 0.02,
    crashes: 5,
    pauses: 3,
    pausesInSync: 0.003,
    restarts: 2,
    answerLost: 0.2,
    lateRepeat: 0.1,
    operations: 6,
  },
  'slow-disk': {
    slowDisk: 0.3,
    commitFails: 0.2,
    diskFull: 0.2,
    syncFails: 0.004,
    readFails: 0.05,
    slowRead: 0.5,
    handlerHangs: 0.03,
    handlerWakesLate: 0.03,
    operations: 4,
  },
  'clock-mad': {
    clockJumps: 8,
    clockDrifts: 3,
    pauses: 3,
    pausesInSync: 0.003,
    handlerThrows: 0.6,
    handlerTakes: 0.3,
    handlerBlocks: 0.05,
    crashes: 2,
    operations: 4,
  },
  overload: {
    requestTwice: 0.8,
    requestLost: 0.3,
    answerLost: 0.3,
    retryStorm: 0.3,
    otherBody: 0.2,
    lateRepeat: 0.3,
    slowDisk: 0.2,
    handlerBlocks: 0.02,
    handlerHangs: 0.02,
  },
  everything: {
    commitFails: 0.1,
    commitLies: 0.004,
    diskFull: 0.1,
    syncFails: 0.004,
    crashBeforeCommit: 0.004,
    crashAfterCommit: 0.004,
    powerLoss: 1,
    slowDisk: 0.1,
    readFails: 0.02,
    slowRead: 0.3,
    bitFlips: 0.2,
    handlerThrows: 0.5,
    handlerTakes: 0.3,
    handlerThrowsLate: 0.1,
    handlerHangs: 0.02,
    handlerWakesLate: 0.02,
    handlerBlocks: 0.02,
    handlerCrashes: 0.02,
    killers: 0.02,
    requestLost: 0.2,
    answerLost: 0.2,
    requestTwice: 0.3,
    retryStorm: 0.2,
    lateRepeat: 0.2,
    otherBody: 0.1,
    notifyFails: 0.5,
    crashes: 4,
    pauses: 3,
    pausesInSync: 0.003,
    restarts: 2,
    clockJumps: 3,
    clockDrifts: 2,
    cluster: 0.5,
    storeOutages: 1,
    newsLost: 0.3,
    rollingRestarts: 1,
    outboxFails: 0.1,
    outboxLies: 0.1,
    outboxSlow: 0.1,
    outboxOutages: 2,
    outboxRollbacks: 0.2,
    outboxHangs: 0.1,
    outboxNeighbours: 2,
    outboxInvalid: 0.1,
    operations: 10,
  },
  // For an integration with sagas.
  flows: {
    cluster: 0.5,
    commitFails: 0.05,
    crashBeforeCommit: 0.004,
    crashAfterCommit: 0.004,
    powerLoss: 1,
    slowDisk: 0.1,
    readFails: 0.01,
    slowRead: 0.2,
    newsLost: 0.3,
    handlerThrows: 0.4,
    handlerTakes: 0.3,
    handlerThrowsLate: 0.1,
    handlerHangs: 0.02,
    answerLost: 0.2,
    requestTwice: 0.2,
    lateRepeat: 0.2,
    crashes: 5,
    pauses: 5,
    pausesInSync: 0.005,
    restarts: 2,
    rollingRestarts: 1,
    storeOutages: 1,
    clockJumps: 1,
    operations: 3,
  },
  broker: {
    broker: 1,
    brokerFails: 0.2,
    brokerLoses: 0.3,
    brokerOutages: 4,
    brokerWipes: 2,
    commitFails: 0.05,
    crashAfterCommit: 0.003,
    slowRead: 0.2,
    readFails: 0.05,
    handlerThrows: 0.2,
    handlerTakes: 0.3,
    lateRepeat: 0.1,
    crashes: 3,
    pauses: 2,
    restarts: 2,
    clockJumps: 2,
    operations: 4,
  },
  outbox: {
    outboxFails: 0.2,
    outboxLies: 0.2,
    outboxSlow: 0.2,
    outboxOutages: 3,
    outboxRollbacks: 0.4,
    outboxHangs: 0.2,
    outboxNeighbours: 3,
    outboxInvalid: 0.1,
    commitFails: 0.1,
    commitLies: 0.004,
    crashBeforeCommit: 0.006,
    crashAfterCommit: 0.006,
    powerLoss: 1,
    readFails: 0.02,
    handlerTakes: 0.3,
    crashes: 4,
    pauses: 2,
    restarts: 2,
    clockJumps: 2,
    operations: 2,
  },
  cluster: {
    storeOutages: 2,
    newsLost: 0.5,
    rollingRestarts: 2,
    crashBeforeCommit: 0.003,
    crashAfterCommit: 0.003,
    commitFails: 0.05,
    commitLies: 0.002,
    slowDisk: 0.05,
    readFails: 0.01,
    slowRead: 0.1,
    handlerThrows: 0.2,
    handlerTakes: 0.3,
    handlerWakesLate: 0.02,
    handlerBlocks: 0.02,
    killers: 0.01,
    answerLost: 0.2,
    requestTwice: 0.2,
    lateRepeat: 0.1,
    crashes: 4,
    pauses: 6,
    pausesInSync: 0.006,
    restarts: 3,
    clockJumps: 2,
    clockDrifts: 2,
    outboxRollbacks: 0.2,
    outboxHangs: 0.1,
    operations: 4,
    broker: 1,
    brokerFails: 0.1,
    brokerLoses: 0.2,
    brokerOutages: 2,
    brokerWipes: 1,
  },
}

export const PROFILES: readonly ProfileName[] = [
  'calm',
  'crashy',
  'slow-disk',
  'clock-mad',
  'overload',
  'everything',
  'broker',
  'outbox',
  'cluster',
  'flows',
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
  // What a profile is about is always there.
  if (profile === 'broker' || profile === 'cluster') drawn[profile] = 1
  return { ...NO_FAULTS, ...drawn }
}
