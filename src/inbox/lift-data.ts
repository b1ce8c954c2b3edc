import type { AnyContract } from '../contract/index.ts'
import { JuncturaError, messageOf } from '../kernel/index.ts'

/**
 * Lifts data to the latest version, step by step through the contract's upcasters.
 *
 * @throws JUNCTURA_UPCAST_FAILED when a step is missing or throws.
 */
export const liftData = (contract: AnyContract, data: unknown, version: number): unknown => {
  if (version === contract.latest) return data
  const steps = [...contract.versions.keys()].filter(
    (one) => one >= version && one < contract.latest,
  )
  let lifted = data
  for (const step of steps.toSorted((left, right) => left - right)) {
    lifted = liftStep(contract, lifted, { from: version, step })
  }
  return lifted
}

function liftStep(
  contract: AnyContract,
  data: unknown,
  place: { readonly from: number; readonly step: number },
): unknown {
  const details = {
    contract: contract.name,
    from: place.from,
    to: contract.latest,
    step: place.step,
  }
  const lift = contract.upcast.get(place.step)
  if (!lift) {
    const problem = 'it has no upcaster'
    throw new JuncturaError('JUNCTURA_UPCAST_FAILED', { details: { ...details, problem } })
  }
  try {
    return lift(data)
  } catch (cause) {
    // Whatever an upcaster throws is a defect of that step; the guard's own end passes by.
    const problem = messageOf(cause)
    throw new JuncturaError('JUNCTURA_UPCAST_FAILED', { cause, details: { ...details, problem } })
  }
}
