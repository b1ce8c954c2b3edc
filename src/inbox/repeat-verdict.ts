import { keyGroup, type LogRecord, type Receipt, valueAt } from '../contract/index.ts'
import { parseJson, rawScalarAt } from '../schema/index.ts'
import { parseBody } from './parse-body.ts'
import { contractKey } from './message-keys.ts'
import type { ContractBook } from './contract-book.ts'
import type { PreparedEvent } from './prepare-event.ts'
import type { VerifiedRequest } from './verified-request.ts'

/** What a taken key says about a request. */
export type RepeatVerdict =
  | { readonly kind: 'same' | 'different'; readonly first: FirstMessage }
  /** Only the fingerprints are equal: the key is another one, and the request is new. */
  | { readonly kind: 'collision' }
  /** Retention has dropped the first message; that there was one is all that is known. */
  | { readonly kind: 'gone' }

export interface FirstMessage {
  readonly id: string
  readonly position: number
  readonly receivedAtMs: number
}

/** A request as it stands before the dedupe record. */
export interface Presented {
  readonly request: VerifiedRequest
  readonly bodySha256: string
  /** Where the record stands that took the claim. */
  readonly position: number
  /** The claim that was refused: the key, or the bytes themselves. */
  readonly claimed: { readonly by: 'key'; readonly key: string } | { readonly by: 'bytes' }
}

/** Compares a request with the message that claimed its key first. */
export const judgeRepeat = (record: LogRecord | undefined, presented: Presented): RepeatVerdict => {
  if (!record) return { kind: 'gone' }
  const { receipt, envelope } = record.head
  const { request, bodySha256, claimed, position } = presented
  if (!receipt || keyGroup(receipt.webhook) !== keyGroup(request.webhook.name)) {
    return { kind: 'collision' }
  }
  const first = { id: envelope.id, position, receivedAtMs: receipt.receivedAtMs }
  if (claimed.by === 'bytes') {
    return receipt.bodySha256 === bodySha256 ? { kind: 'same', first } : { kind: 'collision' }
  }
  if (envelope.idempotencykey !== claimed.key) return { kind: 'collision' }
  // One id for an event of another type is another event.
  const isSame =
    receipt.webhook === request.webhook.name &&
    (receipt.bodySha256 === bodySha256 || sameFields(request, { receipt, raw: record.raw }))
  return { kind: isSame ? 'same' : 'different', first }
}

function sameFields(
  request: VerifiedRequest,
  kept: { readonly receipt: Receipt; readonly raw: Uint8Array | undefined },
): boolean {
  const { compare } = request.webhook.idempotency
  if (compare === 'bytes' || kept.raw === undefined) return false
  const parsed = parseBody(kept.raw, kept.receipt.mediaType)
  if (!parsed.ok) return false
  return compare.fields.every((path) => {
    const steps = path.split('.')
    const left = rawScalarAt(parsed.text, steps) ?? JSON.stringify(valueAt(parsed.value, path))
    const right = rawScalarAt(request.text, steps) ?? JSON.stringify(valueAt(request.data, path))
    return left === right
  })
}

/** Whether a record carries the fact of an event, or only has the same fingerprint. */
export const isSameFact = (
  record: LogRecord,
  event: PreparedEvent,
  book: ContractBook,
): boolean => {
  const { envelope } = record.head
  const { contract } = event
  if (envelope.type !== contract.name || !contract.fact) return false
  const parsed = parseJson(record.data)
  if (!parsed.ok) return false
  const data = book.lift(contract, envelope.contractversion, parsed.value)
  const key = contractKey(contract.fact.paths, data)
  return key.ok && key.key === event.factKey
}

/** The message that a record belongs to: events beyond the first have a number after its id. */
export const messageIdOf = (record: LogRecord): string =>
  record.head.envelope.id.replace(/-\d+$/, '')
