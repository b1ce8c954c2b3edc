import { JuncturaError } from './errors.ts'

/**
 * Stops the unit of work when an invariant does not hold. Asserts stay on in production.
 *
 * @throws JUNCTURA_INVARIANT when `condition` is false.
 */
export function assert(condition: boolean, invariant: string): asserts condition {
  if (!condition) throw new JuncturaError('JUNCTURA_INVARIANT', { details: { invariant } })
}

/** The value, or a JUNCTURA_INVARIANT error when it is missing. */
export const must = <T>(value: T | undefined | null, invariant: string): T => {
  assert(value !== undefined && value !== null, invariant)
  return value
}
