/** One request as a listener hands it over. Nothing of the body has been read. */
export interface IngressRequest {
  readonly method: string
  /** As it stood in the request line. */
  readonly target: string
  /** Name, value, name, value …, in the order they came. */
  readonly rawHeaders: readonly string[]
  /**
   * Of the connection, never of a forwarded header, which anyone can write (F102). The border reads
   * the header itself, where the connection is that of a proxy declared as trusted.
   */
  readonly remoteAddress: string
  readonly body: BodySource
}

/** A body that is read only if the request deserves it. */
export interface BodySource {
  /**
   * Reads it to its end. What it holds is taken from `budget`; on any outcome but `bytes` it gives
   * everything back, after `bytes` the caller does.
   */
  read(bytesMax: number, budget: ByteBudget): Promise<BodyOutcome>
}

export type BodyOutcome =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  /** More than `bytesMax`, seen before more than that was held. */
  | { readonly kind: 'too-large' }
  /** The budget is used up by other requests. */
  | { readonly kind: 'no-room' }
  /** The client went away, or the framing broke. */
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'too-slow' }

export interface IngressResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  /** The connection cannot be used again, because part of the request may be unread. */
  readonly close: boolean
}

/** Bytes held by all requests together. */
export interface ByteBudget {
  /** False, and nothing taken, when it would not fit. */
  take(bytes: number): boolean
  give(bytes: number): void
  readonly held: number
}

export const createByteBudget = (bytesMax: number): ByteBudget => {
  let held = 0
  return {
    take: (bytes) => {
      if (held + bytes > bytesMax) return false
      held += bytes
      return true
    },
    give: (bytes) => {
      held -= bytes
    },
    get held() {
      return held
    },
  }
}

/** A body that is in memory already. */
export const bodyOfBytes = (bytes: Uint8Array): BodySource => ({
  read: (bytesMax, budget) => {
    if (bytes.length > bytesMax) return Promise.resolve({ kind: 'too-large' })
    if (!budget.take(bytes.length)) return Promise.resolve({ kind: 'no-room' })
    return Promise.resolve({ kind: 'bytes', bytes })
  },
})
