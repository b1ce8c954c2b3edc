import type { LeaseHolder, Leases } from '../store/index.ts'

/** Of one process, and what another one has by name: it may come and go. */
export const leasesOf = (others: readonly string[] = []): Leases => {
  const held = new Map<string, LeaseHolder>()
  let epoch = 0
  return {
    take({ name }) {
      if (held.has(name) || others.includes(name)) return Promise.resolve(undefined)
      held.set(name, { owner: 'this', epoch: ++epoch })
      return Promise.resolve({
        name,
        epoch,
        lost: new Promise<void>(() => undefined),
        announce: () => Promise.resolve(),
        release: () => Promise.resolve(void held.delete(name)),
      })
    },
    holder: (name) => Promise.resolve(held.get(name)),
    list() {
      const all = new Map(held)
      for (const name of others) all.set(name, { owner: name, epoch: 1 })
      return Promise.resolve(all)
    },
  }
}
