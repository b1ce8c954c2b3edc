import type { AnyContract, Consumer, Envelope, Integration } from '../contract/index.ts'
import { isJuncturaError, JuncturaError, messageOf } from '../kernel/index.ts'
import { createSharedParse } from './shared-parse.ts'
import { compileValidator, evaluateUpcast, type UpcastPlan } from '../schema/index.ts'

/** Reads a record's data as the version that a consumer asked for. */
export type ReadData = (
  consumer: Pick<Consumer, 'on'>,
  envelope: Envelope,
  data: Uint8Array,
) => unknown

/**
 * Older data is lifted step by step. Newer data is given as it is when it is valid in the version
 * asked for, as forward-compatible changes are; otherwise nobody can make it older. Where the
 * version is newer than any declared, other code wrote it: that code, or later one, can read it.
 *
 * @throws JUNCTURA_VERSION_NEWER when no declared version is as new; the message waits (M41).
 * @throws JUNCTURA_DATA_UNREADABLE from the reader; a retry does not help, so it is permanent.
 */
export const createReadData = (integration: Integration): ReadData => {
  const plans = new Map<string, UpcastPlan>()
  for (const contract of integration.contracts.values()) {
    const validators = new Map(
      [...contract.versions].map(([version, schema]) => [
        version,
        compileValidator(schema, `${contract.kind} "${contract.name}".versions.${version}`),
      ]),
    )
    plans.set(contract.name, { contract: contract.name, validators, upcast: contract.upcast })
  }
  const parse = createSharedParse(integration)
  return (consumer, envelope, data) => {
    const { contractversion: from, type } = envelope
    const { asked, latest } = consumer.on
    const plan = plans.get(type)
    try {
      const value = parse(type, data)
      if (from === asked || !plan) return value
      if (from < asked) return evaluateUpcast(plan, { data: value, from, to: asked })
      const verdict = plan.validators.get(asked)?.validate(value)
      if (verdict?.ok === true) return value
      if (from > latest) {
        const known = [...plan.validators.keys()].join(', ')
        throw new JuncturaError('JUNCTURA_VERSION_NEWER', {
          details: { type, version: from, known },
        })
      }
      throw unreadable(envelope, asked, 'it is newer, and not valid in the version asked for')
    } catch (error) {
      if (isJuncturaError(error, 'JUNCTURA_VERSION_NEWER')) throw error
      throw unreadable(envelope, asked, messageOf(error))
    }
  }
}

/** The same for whoever looks at a contract without being a consumer of it. */
export const createReadContract = (
  integration: Integration,
): ((contract: AnyContract, envelope: Envelope, data: Uint8Array) => unknown) => {
  // Schemas are compiled when the first message has to be read.
  let read: ReadData | undefined
  return (contract, envelope, data) =>
    (read ??= createReadData({ ...integration, consumers: [] }))({ on: contract }, envelope, data)
}

const unreadable = (envelope: Envelope, asked: number, problem: string): JuncturaError =>
  new JuncturaError('JUNCTURA_DATA_UNREADABLE', {
    details: { type: envelope.type, version: envelope.contractversion, asked, problem },
  })
