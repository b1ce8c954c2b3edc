import type { Webhook } from '../contract/index.ts'
import type { SpanContext } from '../observe/index.ts'
import type { RowWrite } from '../store/index.ts'

/** The value of a header by its lower-case name; a list when the header came more than once. */
export type ReadHeader = (name: string) => string | readonly string[] | undefined

/** One request that proved where it comes from. Nothing about its content is known yet. */
export interface BorderRequest {
  readonly webhook: Webhook
  /** The bytes that were verified, which are the bytes that are kept. */
  readonly raw: Uint8Array
  readonly header: ReadHeader
  readonly mediaType: string
  readonly receivedAtMs: number
  readonly scheme: string
  /** Index of the secret that verified it. */
  readonly keyIndex?: number
  readonly signedAtMs?: number
  /** Given by the sender, already checked for form. */
  readonly correlationId?: string
  readonly causationId?: string
  readonly trace?: SpanContext
}

/** A request whose body is valid in a version that the contract has. */
export interface VerifiedRequest extends BorderRequest {
  readonly data: unknown
  /** The body as text, for what must be compared losslessly (F49). */
  readonly text: string
  readonly version: number
  /** The idempotency key that was sent; without one it is derived from the bytes. */
  readonly key: string | undefined
  /** False where a replayed request may carry another key: then its bytes are claimed too. */
  readonly keyCovered: boolean
  /** Set when an operator puts a kept request through the border again. */
  readonly readmission?: Readmission
}

export interface Readmission {
  readonly invalidId: string
  /** The id that was promised when the request was kept. */
  readonly messageId: string
  /** A person has judged the mismatch: it is taken as a message of its own. */
  readonly asNew: boolean
  /** Commits with the message: what is no longer open. */
  readonly rows: readonly RowWrite[]
}

export type AcceptResult =
  /** Durable, with its key. `events` is 0 when the transform made none or failed. */
  | {
      readonly kind: 'accepted'
      readonly id: string
      readonly events: number
      readonly position: number
    }
  /** A repeat; `id` is the first message's, unless retention has dropped that message. */
  | { readonly kind: 'duplicate'; readonly id: string | undefined }
  /** The key was used with other content; the bytes are kept unless the shelf is full. */
  | {
      readonly kind: 'conflict'
      readonly id: string | undefined
      readonly invalidId: string | undefined
    }
  /** The first request of the key is still being stored, and the webhook says not to wait. */
  | { readonly kind: 'in-flight' }
