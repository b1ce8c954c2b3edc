/** What a handler of a user, or a disk, would throw: an ordinary error, with no code of ours. */
export class SimulatedFault extends Error {
  override readonly name: string = 'SimulatedFault'
}
