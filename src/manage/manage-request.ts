/** One request as a listener hands it over. Nothing of the body has been read. */
export interface ManageRequest {
  readonly method: string
  /** As it stood in the request line. */
  readonly target: string
  /** Name, value, name, value …, in the order they came. */
  readonly rawHeaders: readonly string[]
  /** Of the connection, never of a forwarded header, which anyone can write (F102). */
  readonly remoteAddress: string
  /** Reads the body to its end, or gives up on one larger than `bytesMax`. */
  readBody(bytesMax: number): Promise<ManageBody>
}

export type ManageBody =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  /** More than asked for, seen before more than that was held. */
  | { readonly kind: 'too-large' }
  /** The client went away, or the framing broke. */
  | { readonly kind: 'incomplete' }

export interface ManageResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | Uint8Array | EventStream
}

/** Text that comes as things happen. It ends by itself only when the reader is too slow. */
export interface EventStream extends AsyncIterable<string> {
  /** Gives back what it holds; the iteration ends. Idempotent. */
  close(): void
}

export const isEventStream = (body: ManageResponse['body']): body is EventStream =>
  typeof body === 'object' && Symbol.asyncIterator in body
