import { JuncturaError } from '../kernel/index.ts'

/** Which things an operation is about: those named, or all of one cause. */
export interface Selection {
  readonly ids?: readonly string[]
  readonly cause?: string
}

/** @throws JUNCTURA_USAGE when neither or both are given: "all" is never meant by accident. */
export const selectionOf = (ids: readonly string[], cause: string | undefined): Selection => {
  if (ids.length > 0 && cause === undefined) return { ids }
  if (ids.length === 0 && cause !== undefined) return { cause }
  throw new JuncturaError('JUNCTURA_USAGE', {
    details: {
      problem:
        ids.length === 0 ? 'Nothing is named.' : 'Ids and --cause were both given; which is meant?',
      fix: 'Name ids, or one group with --cause CAUSE.',
    },
  })
}
