/**
 * Metadata of one message: a CloudEvents 1.0 envelope with the extensions Junctura uses. The data
 * travels beside it as bytes, so that what was verified is what is stored and replayed.
 *
 * @see CloudEvents 1.0.2, section "Context Attributes"; extension names are lower case there.
 */
export interface Envelope {
  readonly specversion: '1.0'
  /**
   * Assigned once, when the message is accepted or emitted; the same on every attempt and replay.
   */
  readonly id: string
  /** The contract's name, for example `orders.status-changed`. */
  readonly type: string
  /** Where it entered: `/webhooks/acme`, `/consumers/warehouse`, `/publish`. */
  readonly source: string
  /** When it was accepted or emitted, RFC 3339 in UTC. */
  readonly time: string
  readonly datacontenttype: string
  /** Version of the contract the data was written in. */
  readonly contractversion: number
  /** Messages of one partition key keep one order. */
  readonly partitionkey: string
  /** Shared by everything that one outside message caused. */
  readonly correlationid: string
  /** Id of the message that caused this one. */
  readonly causationid?: string
  readonly idempotencykey?: string
  /** Where the answer to a command goes: a saga, its run and the step that waits. */
  readonly replyto?: string
  readonly tenant: string
  /** @see W3C Trace Context, section 3.2 */
  readonly traceparent?: string
  readonly tracestate?: string
}

/** The tenant of an integration that has only one. */
export const DEFAULT_TENANT = 'default'
