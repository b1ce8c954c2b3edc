/** One, however many ask for it at once; after a failure it is tried again. */
export function makeOnce<T>(make: () => Promise<T>): {
  readonly made: T | undefined
  readonly get: () => Promise<T>
} {
  let made: T | undefined
  let making: Promise<T> | undefined
  return {
    get made() {
      return made
    },
    async get() {
      if (made !== undefined) return made
      making ??= make().finally(() => (making = undefined))
      made = await making
      return made
    },
  }
}
