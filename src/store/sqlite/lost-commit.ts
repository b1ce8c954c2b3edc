/** A failure that no longer belongs to one unit: the whole transaction has to be rolled back. */
export class LostCommit extends Error {
  constructor(cause: unknown) {
    super('the commit is lost', { cause })
  }
}
