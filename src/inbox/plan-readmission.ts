import { hash } from 'node:crypto'
import type { Webhook } from '../contract/index.ts'
import { fromBase64 } from '../kernel/index.ts'
import type { InvalidRow } from '../store/index.ts'
import { type BodyCheck, checkBody } from './check-body.ts'
import type { InboxContext } from './inbox-context.ts'
import { keyOfBody, salted } from './message-keys.ts'
import { readRecordAt } from './read-record-at.ts'
import { judgeRepeat } from './repeat-verdict.ts'

/** What re-admitting a kept request would come to today. */
export type ReadmissionForecast =
  | { readonly kind: 'accept' }
  | { readonly kind: 'duplicate' }
  | {
      readonly kind: 'still-invalid'
      readonly reason: StillInvalidFor
      /** Names of fields and versions; no values of the body. */
      readonly detail: string
    }

export type StillInvalidFor =
  | (BodyCheck & { readonly ok: false })['reason']
  | 'conflict'
  /** Of a topic: no contract is accepted under its type. */
  | 'contract'
  | 'gone'

/**
 * Says of kept requests what re-admitting them would come to, one after the other: each is read
 * with today's contract and looked up in the dedupe record, and what those before it would claim
 * counts as claimed. Stores nothing and runs no transform: one that fails or makes a known fact
 * shows only when the request is admitted.
 */
export interface ReadmissionPlan {
  next(row: InvalidRow): Promise<ReadmissionForecast>
}

export const planReadmission = (context: InboxContext): ReadmissionPlan => {
  /** Hash of the body by webhook and key. */
  const planned = new Map<string, string>()
  return {
    async next(row) {
      const webhook = context.deskNamed(row.webhook)?.webhook
      if (!webhook) return stillInvalid('gone', `webhook ${row.webhook} is not declared any more`)
      const raw = fromBase64(row.body)
      const header = (name: string): string | undefined => row.headers[name]
      const { mediaType } = row
      const check = checkBody(webhook, { raw, header, mediaType }, context.book)
      if (!check.ok) return stillInvalid(check.reason, detailOf(webhook, check))
      const bodySha256 = hash('sha256', raw, 'hex')
      return judge(context, planned, { row, webhook, raw, check, bodySha256 })
    },
  }
}

interface Candidate {
  readonly row: InvalidRow
  readonly webhook: Webhook
  readonly raw: Uint8Array
  readonly check: BodyCheck & { readonly ok: true }
  readonly bodySha256: string
}

async function judge(
  context: InboxContext,
  planned: Map<string, string>,
  candidate: Candidate,
): Promise<ReadmissionForecast> {
  const { row, webhook, check, bodySha256 } = candidate
  // What was kept as a conflict goes in as a message of its own: a person has judged it.
  const rule = row.reason === 'conflict' ? 'accept-as-new' : webhook.idempotency.mismatch
  const first = check.key ?? keyOfBody(bodySha256)
  // The content is part of the second key, as it is when the request is admitted.
  for (const key of [first, `${first}#${keyOfBody(bodySha256)}`]) {
    const identity = `${webhook.name}\n${key}`
    const before = planned.get(identity)
    const claim = before === undefined ? await claimOf(context, candidate, key) : 'different'
    if (claim === 'same' || before === bodySha256) return { kind: 'duplicate' }
    if (claim === 'none') {
      planned.set(identity, bodySha256)
      return { kind: 'accept' }
    }
    if (rule === 'first-wins') return { kind: 'duplicate' }
    if (rule === 'conflict') {
      return stillInvalid('conflict', `${webhook.name}: its key is used by other content`)
    }
  }
  return { kind: 'duplicate' }
}

/** Salts beyond the first are for two keys with one fingerprint. */
const SALTS_MAX = 4

/** Who holds the key, or the bytes where a signature does not cover the key. */
async function claimOf(
  context: InboxContext,
  { webhook, raw, check, row, bodySha256 }: Candidate,
  key: string,
): Promise<'none' | 'same' | 'different'> {
  const { store } = context
  const desk = context.deskOf(webhook)
  const { mediaType, receivedAtMs, scheme } = row
  const header = (name: string): string | undefined => row.headers[name]
  const { data, text, version, keyCovered } = check
  const border = { webhook, raw, header, mediaType, receivedAtMs, scheme }
  const request = { ...border, data, text, version, key: check.key, keyCovered }
  for (let salt = 0; salt < SALTS_MAX; salt++) {
    const byKey = await store.claimedPosition(salted(desk.scope, salt), key)
    const byBytes =
      byKey === undefined && !keyCovered
        ? await store.claimedPosition(salted(desk.bodyScope, salt), bodySha256)
        : undefined
    const position = byKey ?? byBytes
    if (position === undefined) return 'none'
    const claimed = byKey === undefined ? ({ by: 'bytes' } as const) : ({ by: 'key', key } as const)
    const record = await readRecordAt(store, position)
    const verdict = judgeRepeat(record, { request, bodySha256, claimed, position })
    if (verdict.kind === 'gone') return 'same'
    if (verdict.kind !== 'collision') return verdict.kind
  }
  return 'none'
}

const stillInvalid = (reason: StillInvalidFor, detail: string): ReadmissionForecast => ({
  kind: 'still-invalid',
  reason,
  detail,
})

function detailOf(webhook: Webhook, check: BodyCheck & { readonly ok: false }): string {
  const { reason, detail, errors, version } = check
  if (reason !== 'schema') return `${webhook.name}: ${detail}`
  const fields = [...new Set(errors.map(({ pointer }) => pointer.replace(/\/\d+(?=\/|$)/g, '/*')))]
  const shown = fields.slice(0, 5).join(', ') || 'the document'
  return `${webhook.name}: ${webhook.accepts.name} version ${version} is invalid at ${shown}`
}
