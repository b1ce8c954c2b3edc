import { JuncturaError, type Kernel, LIMITS, messageOf, sleep } from '../kernel/index.ts'
import type { Lease, LeaseHolder, Leases } from '../store/index.ts'
import { CONSUMERS_LEASE } from './roles.ts'

export interface WorkerRoleOptions {
  readonly leases: Leases
  readonly kernel: Kernel
  /** Brings the consumers to work; the lease is held by then. */
  readonly activate: () => Promise<void>
  /** The lease is lost, or the consumers could not be brought to work. */
  readonly onFatal: (error: unknown) => void
}

/**
 * The right to run the consumers. `standing by` → `active` once the lease is free, which a process
 * that died leaves it after LIMITS.leaseMs, and one that stopped at once. An active one whose lease
 * is taken writes nothing more and has to be started anew.
 */
export interface WorkerRole {
  readonly isActive: boolean
  /** Waits for the activation if the lease is free now; otherwise only with `untilActive`. */
  start(options: { readonly untilActive: boolean }): Promise<void>
  /** Where the consumers run; undefined when nobody runs them. */
  holder(): Promise<LeaseHolder | undefined>
  /** Where this process's management API is. */
  announce(url: string): Promise<void>
  /** Stands by no longer. The store gives the lease back when it closes. */
  close(): Promise<void>
}

export const createWorkerRole = (options: WorkerRoleOptions): WorkerRole => {
  const { leases, kernel, activate, onFatal } = options
  const { clock, log } = kernel
  const stop = new AbortController()
  let lease: Lease | undefined
  let isActive = false
  let url: string | undefined
  let waiting: Promise<void> | undefined

  const tell = async (): Promise<void> => {
    if (lease && url !== undefined) await lease.announce(url)
  }

  const tryOnce = async (): Promise<boolean> => {
    lease = await leases.take({ name: CONSUMERS_LEASE, listens: true })
    if (!lease) return false
    void lease.lost.then(() => {
      if (stop.signal.aborted) return
      onFatal(new JuncturaError('JUNCTURA_STORE_FENCED', { details: { store: CONSUMERS_LEASE } }))
    })
    await tell()
    await activate()
    isActive = true
    return true
  }

  const standBy = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      await sleep(clock, LIMITS.leasePollMs, stop.signal)
      if (stop.signal.aborted) return
      try {
        if (await tryOnce()) return log.info({}, 'this process runs the consumers now')
      } catch (error) {
        // Held and not at work: whoever holds a lease and does nothing is worse than one who dies.
        if (lease) return onFatal(error)
        log.warn({ problem: messageOf(error) }, 'the lease could not be looked at; trying again')
      }
    }
  }

  return {
    get isActive() {
      return isActive
    },
    async start({ untilActive }) {
      if (await tryOnce()) return
      const { owner = 'nobody', url: at = '' } = (await leases.holder(CONSUMERS_LEASE)) ?? {}
      log.info({ holder: owner, url: at }, 'standing by: another process runs the consumers')
      waiting = standBy()
      if (untilActive) await waiting
    },
    holder: () => leases.holder(CONSUMERS_LEASE),
    async announce(at) {
      url = at
      await tell()
    },
    async close() {
      stop.abort()
      await waiting
    },
  }
}
