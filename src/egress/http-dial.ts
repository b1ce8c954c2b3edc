/** One request to somebody else's server. */
export interface HttpCall {
  readonly method: 'POST' | 'GET'
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  /** Sent byte for byte. */
  readonly body: Uint8Array
  /** Ends the exchange, also while the answer's body is on the way. */
  readonly signal: AbortSignal
  readonly answerBytesMax: number
}

export interface HttpReply {
  readonly status: number
  /** Names in lower case; of a header that came twice, both values, joined by a comma. */
  readonly headers: Readonly<Record<string, string>>
  /** At most `answerBytesMax` bytes. */
  readonly body: Uint8Array
  /** The body had more, which was not read. */
  readonly isCut: boolean
}

/**
 * How a request leaves the process. It rejects when no whole answer came; it follows no redirect.
 * A test or a simulator gives its own.
 */
export type HttpDial = (call: HttpCall) => Promise<HttpReply>
