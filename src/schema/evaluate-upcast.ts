import { JuncturaError } from '../kernel/index.ts'
import type { Validator } from './compile-validator.ts'

/**
 * What a contract says about lifting: its live versions, and the function out of each older one.
 */
export interface UpcastPlan {
  /** Name of the contract, for errors. */
  readonly contract: string
  readonly validators: ReadonlyMap<number, Validator>
  readonly upcast: ReadonlyMap<number, (data: unknown) => unknown>
}

export interface UpcastRequest {
  readonly data: unknown
  readonly from: number
  readonly to: number
}

/** Why data could not be lifted; the detail `reason` of the error. */
export type UpcastFault = 'unknown-version' | 'downcast' | 'missing-step' | 'threw' | 'invalid'

/**
 * Lifts data to a later version, one declared version after the other. Pure: the same data gives
 * the same result, and a value that `from` equals `to` is returned as it is. Each result is
 * validated against the next version's schema, so that a handler never sees what its contract
 * excludes.
 *
 * @throws JUNCTURA_UPCAST_FAILED when a version is not declared, `to` is the older one, a step is
 * missing, or an upcaster throws, returns a promise or returns invalid data. Details: `contract`,
 * `from`, `to`, `step`, `reason`, and `errors` (FieldError) for invalid data. The message holds no
 * data.
 */
export const evaluateUpcast = (plan: UpcastPlan, request: UpcastRequest): unknown => {
  const { from, to } = request
  const path = stepsOf(plan, request)
  let data = request.data
  for (const [index, step] of path.entries()) {
    const fail = (reason: UpcastFault, problem: string, rest: object = {}): never => {
      const { cause, ...details } = { cause: undefined, ...rest }
      throw upcastError(plan, { from, to, step, reason, problem, ...details }, cause)
    }
    const lift = plan.upcast.get(step)
    if (lift === undefined) return fail('missing-step', 'it has no upcaster')
    try {
      data = lift(data)
    } catch (cause) {
      return fail('threw', `its upcaster threw (${errorName(cause)})`, { cause })
    }
    if (isThenable(data)) return fail('invalid', 'its upcaster returned a promise')
    const next = path[index + 1] ?? to
    const verdict = plan.validators.get(next)?.validate(data)
    if (verdict && !verdict.ok) {
      const first = verdict.errors[0]?.message ?? ''
      const problem = `its upcaster returned what version ${next} does not allow: ${first}`
      return fail('invalid', problem, { errors: verdict.errors })
    }
  }
  return data
}

/**
 * The first version between the two that has no upcaster, or undefined when the way is whole. For
 * the check at start: a consumer that could never read old messages is refused there.
 *
 * @throws JUNCTURA_UPCAST_FAILED when a version is not declared or `to` is the older one.
 */
export const missingUpcast = (
  plan: Pick<UpcastPlan, 'contract' | 'upcast' | 'validators'>,
  way: { readonly from: number; readonly to: number },
): number | undefined => stepsOf(plan, way).find((step) => !plan.upcast.has(step))

/** The declared versions from `from` up to, not including, `to`. */
function stepsOf(
  plan: UpcastPlan,
  { from, to }: { readonly from: number; readonly to: number },
): readonly number[] {
  const fault = (reason: UpcastFault, problem: string): JuncturaError =>
    upcastError(plan, { from, to, step: from, reason, problem })
  for (const version of [from, to]) {
    if (plan.validators.has(version)) continue
    throw fault('unknown-version', `version ${version} is not declared`)
  }
  if (from > to) throw fault('downcast', 'data is only lifted to later versions')
  return [...plan.validators.keys()]
    .filter((version) => version >= from && version < to)
    .toSorted((left, right) => left - right)
}

const upcastError = (
  { contract }: UpcastPlan,
  details: Readonly<Record<string, unknown>>,
  cause?: unknown,
): JuncturaError =>
  new JuncturaError('JUNCTURA_UPCAST_FAILED', { details: { contract, ...details }, cause })

/** The class only: what an upcaster throws often quotes the data. */
const errorName = (thrown: unknown): string =>
  thrown instanceof Error ? thrown.name : typeof thrown

const isThenable = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && typeof Reflect.get(value, 'then') === 'function'
