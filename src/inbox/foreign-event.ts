import { type AnyContract, DEFAULT_TENANT } from '../contract/index.ts'
import { isJuncturaError, LIMITS, messageOf, utf8Length } from '../kernel/index.ts'
import { parseJson } from '../schema/index.ts'
import type { Append, ClaimedKey, InvalidRow } from '../store/index.ts'
import type { ContractBook } from './contract-book.ts'
import { contractKey, factScope } from './message-keys.ts'
import { eventAppend, type MessageOrigin } from './message-record.ts'

/** An event in JSON whose writer knows nothing of us: a row of an outbox, a message of a topic. */
export interface ForeignEvent {
  readonly contract: AnyContract
  readonly version: number
  readonly data: Uint8Array
  /** What it travelled under; counts where the contract does not say which data are the key. */
  readonly key: string | undefined
  readonly origin: MessageOrigin
  /** Where in what was sent the data are, as a pointer: `/payload`, `/data`. */
  readonly dataAt: string
  /** What a repeat of it is known by, where its contract has no fact. */
  readonly claim?: ClaimedKey
}

export type ForeignVerdict =
  | { readonly kind: 'append'; readonly append: Append }
  | { readonly kind: 'invalid'; readonly fault: ForeignFault }

/** Why it is no message; without any of its data. */
export interface ForeignFault {
  readonly reason: Extract<InvalidRow['reason'], 'schema' | 'version' | 'syntax' | 'contract'>
  readonly errors: readonly { readonly pointer: string; readonly message: string }[]
}

export const foreignFault = (
  reason: ForeignFault['reason'],
  pointer: string,
  message: string,
): { readonly kind: 'invalid'; readonly fault: ForeignFault } => ({
  kind: 'invalid',
  fault: { reason, errors: [{ pointer, message }] },
})

/** Checks it like a request at the border and makes it a record. */
export const foreignAppend = (
  foreign: ForeignEvent,
  { book, nowMs }: { readonly book: ContractBook; readonly nowMs: number },
): ForeignVerdict => {
  const { contract, version, data, origin, dataAt } = foreign
  if (!contract.versions.has(version)) {
    const known = [...contract.versions.keys()].join(', ')
    return foreignFault('version', '/version', `It has version ${version}; known are ${known}.`)
  }
  if (!isMessageId(origin.id)) {
    const problem = 'The id has other characters than printable ASCII, or too many.'
    return foreignFault('syntax', '/id', problem)
  }
  const parsed = parseJson(data)
  if (!parsed.ok) return foreignFault('syntax', dataAt, parsed.detail)
  const validation = book.validate(contract, version, parsed.value)
  if (!validation.ok) {
    const errors = validation.errors.slice(0, LIMITS.problemErrorsMax)
    return { kind: 'invalid', fault: { reason: 'schema', errors } }
  }
  const key = keyOf(foreign, parsed.value)
  if (!key.ok) return foreignFault('schema', '/key', key.problem)
  const fact = contractKey(contract.fact?.paths ?? [], parsed.value)
  if (!fact.ok) return foreignFault('schema', '', fact.problem)
  const event = {
    contract: { ...contract, latest: version },
    text: parsed.text,
    key: key.key,
    factKey: fact.key,
    factSalt: 0,
  }
  try {
    const append = eventAppend(origin, event, { index: 0 })
    const claim = factClaim(contract, fact.key ?? null, nowMs) ?? foreign.claim
    return { kind: 'append', append: claim ? { ...append, claim } : append }
  } catch (error) {
    if (!isJuncturaError(error, 'JUNCTURA_RECORD_TOO_LARGE')) throw error
    return foreignFault('schema', '', messageOf(error))
  }
}

/** Whether it can be the id of a message: it stands in headers, URLs and logs. */
const isMessageId = (id: string): boolean =>
  /^[\x21-\x7e]+$/.test(id) && id.length <= LIMITS.messageIdCharsMax

/** What the fact of a message claims; undefined where its contract has none. */
export const factClaim = (
  contract: AnyContract,
  fact: string | null,
  nowMs: number,
): ClaimedKey | undefined => {
  if (!contract.fact || fact === null) return undefined
  const scope = factScope(DEFAULT_TENANT, contract)
  return { scope, key: fact, expiresAtMs: nowMs + contract.fact.retentionMs }
}

/** The data say what the key is, where the contract does; else what it travelled under does. */
function keyOf(
  { contract, key }: Pick<ForeignEvent, 'contract' | 'key'>,
  data: unknown,
): ReturnType<typeof contractKey> {
  const read = contractKey(contract.key, data)
  if (read.ok && read.key !== undefined) return read
  if (key === undefined) return read
  if (key !== '' && utf8Length(key) <= LIMITS.keyBytesMax) return { ok: true, key }
  return { ok: false, problem: `The key has no or more than ${LIMITS.keyBytesMax} bytes.` }
}
