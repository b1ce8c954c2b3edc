import type { AnyContract, Draft } from '../contract/index.ts'
import { JuncturaError, LIMITS, messageOf } from '../kernel/index.ts'
import type { ContractBook } from './contract-book.ts'
import { contractKey } from './message-keys.ts'

/** An event that has everything but its id. */
export interface PreparedEvent {
  readonly contract: AnyContract
  /** The data as written by the codec. */
  readonly text: string
  /** Undefined where the contract keeps no order. */
  readonly key: string | undefined
  /** What identifies the fact, where the contract says so. */
  readonly factKey: string | undefined
  /** The text is what the sender sent, so that its bytes need not be kept beside it. */
  readonly isAsSent?: true
  /** Raised when another fact has the same fingerprint in the store. */
  factSalt: number
}

/**
 * Checks a draft against the latest version of its contract and writes it as bytes; or takes it as
 * it was sent, so that no number is rounded (F49).
 *
 * @throws JUNCTURA_EMIT_INVALID when it does not fit, has no key, or is no JSON.
 */
export const prepareEvent = (
  draft: Draft,
  book: ContractBook,
  textAsSent?: string,
): PreparedEvent => {
  const { contract, data } = draft
  const validation = book.validate(contract, contract.latest, data)
  if (!validation.ok) {
    const fields = validation.errors.map((error) => error.message).join(' ')
    throw emitInvalid(contract.name, `it does not fit version ${contract.latest}: ${fields}`)
  }
  const key = contractKey(contract.key, data)
  if (!key.ok) throw emitInvalid(contract.name, key.problem)
  const factKey = contractKey(contract.fact?.paths ?? [], data)
  if (!factKey.ok) throw emitInvalid(contract.name, factKey.problem)
  const text = textAsSent ?? encodeData(contract, data)
  if (contract.record === 'transport') refuseLarge(contract, text, book.recordDataBytesMax)
  return {
    contract,
    text,
    key: key.key,
    factKey: factKey.key,
    ...(textAsSent !== undefined && { isAsSent: true }),
    factSalt: 0,
  }
}

/** The store would take it, and its broker never: it would wait there for nobody. */
function refuseLarge({ name }: AnyContract, text: string, maximum: number): void {
  const bytes = Buffer.byteLength(text)
  if (bytes <= maximum) return
  const problem = `it has ${bytes} bytes, and the broker that is its record takes ${maximum}`
  throw emitInvalid(name, problem)
}

function encodeData(contract: AnyContract, data: unknown): string {
  let text: string | undefined
  try {
    text = JSON.stringify(data)
  } catch (cause) {
    // A circle, a BigInt, or a toJSON that throws.
    throw emitInvalid(contract.name, `it cannot be written as JSON (${messageOf(cause)})`)
  }
  if (text === undefined) throw emitInvalid(contract.name, 'it has no data')
  return text
}

/**
 * What a transform returned, as drafts.
 *
 * @throws JUNCTURA_EMIT_INVALID when it is something else, or more than LIMITS.emitsPerMessageMax.
 */
export const readDrafts = (emitted: unknown): readonly Draft[] => {
  if (emitted === undefined || emitted === null) return []
  const list: readonly unknown[] = Array.isArray(emitted) ? emitted : [emitted]
  if (list.length > LIMITS.emitsPerMessageMax) {
    const problem = `${list.length} events are more than ${LIMITS.emitsPerMessageMax} of one message`
    throw emitInvalid('several contracts', problem)
  }
  return list.map((item) => {
    if (isDraft(item)) return item
    throw emitInvalid('an unknown contract', 'a transform returns Contract.of(data), or a list')
  })
}

const isDraft = (value: unknown): value is Draft => {
  if (typeof value !== 'object' || value === null || !('contract' in value)) return false
  const { contract } = value
  return typeof contract === 'object' && contract !== null && 'part' in contract
    ? contract.part === 'contract' && 'data' in value
    : false
}

/** At-most-once: handed to the consumers in memory, and never in the log. */
export const isVolatile = ({ contract }: PreparedEvent): boolean =>
  contract.guarantee === 'at-most-once'

export const isDurable = (event: PreparedEvent): boolean => !isVolatile(event)

/** Each fact once: a transform that says it twice means it once. */
export const withoutTwinFacts = (events: readonly PreparedEvent[]): readonly PreparedEvent[] => {
  if (events.length < 2) return events
  const seen = new Set<string>()
  return events.filter(({ contract, factKey }) => {
    if (factKey === undefined) return true
    const identity = `${contract.name}\n${factKey}`
    return !seen.has(identity) && seen.add(identity)
  })
}

const emitInvalid = (type: string, problem: string): JuncturaError =>
  new JuncturaError('JUNCTURA_EMIT_INVALID', { details: { type, problem } })
