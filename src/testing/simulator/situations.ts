/**
 * Rare moments that a run must have met, or it has looked away from what matters: each is a place
 * where messaging systems have lost or doubled messages.
 */
export const SITUATIONS = {
  'crash-before-commit': 'the process died before the commit of a request was durable (F2)',
  'crash-after-commit': 'the process died between a request’s commit and its answer (F3)',
  'commit-survived-unknown': 'a commit reported as failed was there at the next start (F21)',
  'commit-lost-unknown': 'a commit reported as failed was gone at the next start (F22)',
  'torn-tail': 'half a commit was on the disk and was cut away (F23)',
  'disk-damaged': 'a flipped bit kept the store from starting until it was repaired (F24)',
  'disk-full': 'a request met a full disk and was accepted later (F20)',
  'duplicate-in-flight': 'a request was repeated while its first copy was under way (F60)',
  'duplicate-after-accept': 'an accepted request was repeated and answered as a duplicate (F3)',
  'same-id-other-body': 'an id was used again for another body (F61)',
  'same-id-other-source': 'two partners used one id (F62)',
  'zombie-fenced': 'a process that had slept through a take-over tried to commit (F39)',
  'zombie-effect-refused': 'the transaction of a zombie’s handler was refused (F39)',
  'taken-over-while-syncing': 'a process was taken over while its commit was being synced (F64)',
  'suspect-run-alone': 'a message in flight when the process died ran alone after the start (F8)',
  'crash-in-recovery': 'the process died while it ran what had been in flight (F7)',
  'poison-quarantined': 'a message that takes the process down became a dead letter (F13)',
  'handler-timed-out': 'a handler was still running at its deadline (F16)',
  'late-effect-refused': 'a handler tried to have its effect after its deadline (F16)',
  'loop-blocked': 'a handler held the event loop for seconds (F17)',
  'parked-across-restart': 'a key was parked when the process started (M8)',
  'retry-due-while-down': 'a retry came due while no process ran (M28)',
  'successor-waits': 'a message arrived behind a held one of its key (F66)',
  'dead-letter-recovered': 'a dead letter was retried and succeeded (M15)',
  'dead-letter-died-again': 'a dead letter was retried and failed again (F10)',
  'replay-crashed': 'the process died during a replay (F11)',
  'replay-over-live': 'a replay re-ran a key that had live messages (F67)',
  'retention-during-replay':
    'retention dropped a part of the log that a replay had not come to (F12)',
  'retention-while-held': 'retention dropped a part of the log that a held key still needed',
  'operation-repeated': 'an operation was repeated under its id (S23)',
  'stop-while-handling': 'the process was stopped in order while a handler ran (F14)',
  'clock-jump-while-waiting': 'the wall clock jumped while a retry waited (F35)',
  'broker-away': 'the broker was away while messages came (F, broker down)',
  'broker-wiped': 'the broker forgot everything that it had confirmed',
  'broker-lost-a-message': 'the broker did not bring a message that it had confirmed',
  'published-and-reported-failed': 'the broker took messages and reported them as failed',
  'stale-epoch-refused':
    'a process that had lost its lease tried to commit in a shared store (F39)',
  'taken-over-while-handling':
    'a lease went to another process while the last one was at work (F39)',
  'handed-over-in-order': 'a process that stopped gave its lease back, and another took it at once',
  'rolling-restart': 'all processes were restarted one after the other (F14)',
  'outbox-late-commit': 'a row was committed below a number that had been moved (F83)',
  'outbox-gap-rolled-back': 'a number that a relay waited for was rolled back (F83)',
  'outbox-neighbour-open': 'a relay waited for no writer while a neighbour kept a transaction open',
  'outbox-answer-lost': 'a statement of a relay was done and its answer was lost',
  'once-reused': 'a retried handler reused what ctx.once had kept (M10)',
} as const

export type SituationName = keyof typeof SITUATIONS

const namesOf = <T extends object>(record: T): readonly (keyof T & string)[] => {
  const names: (keyof T & string)[] = []
  for (const name in record) names.push(name)
  return names
}

/** Names of all of them. */
export const SITUATION_NAMES: readonly SituationName[] = namesOf(SITUATIONS)

export class SituationBook {
  readonly counts: Map<SituationName, number> = new Map()

  hit(name: SituationName): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1)
  }
}
