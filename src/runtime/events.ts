/**
 * What happens, as it happens, for `tail`, `dev` and the page. Numbered, so that a reader can go
 * on after a pause; kept in memory only, a bounded number of them. No payloads: an event names a
 * message, and the message view masks it.
 */
export type RuntimeEvent = { readonly id: number; readonly atMs: number } & RuntimeEventBody

export type RuntimeEventBody =
  | {
      readonly kind: 'accepted' | 'duplicate'
      readonly webhook: string
      readonly messageId: string
      readonly type: string
      readonly key: string
    }
  | {
      readonly kind: 'published'
      readonly messageId: string
      readonly type: string
      readonly key: string
    }
  | {
      readonly kind: 'refused'
      readonly webhook: string
      readonly status: number
      readonly code: string
      readonly reason: string
      /** Which cause of a reason that has several: `mismatch`, `too-old` … of `signature`. */
      readonly detail?: string
      /** Our clock minus the signed time, of a genuine request refused as too old or too new. */
      readonly skewSeconds?: number
    }
  | {
      readonly kind: 'invalid'
      readonly webhook: string
      readonly invalidId: string
      readonly reason: string
    }
  | {
      readonly kind: 'attempt'
      readonly consumer: string
      readonly messageId: string
      readonly position: number
      readonly key: string
      readonly attempt: number
      readonly outcome: 'done' | 'failed' | 'timeout'
      readonly durationMs: number
      readonly error?: string
    }
  | {
      readonly kind: 'retry'
      readonly consumer: string
      readonly messageId: string
      readonly dueAtMs: number
    }
  | {
      readonly kind: 'dead-letter'
      readonly consumer: string
      readonly deadLetterId: string
      readonly messageId: string
      readonly key: string
      readonly cause: string
    }
  | {
      readonly kind: 'log'
      readonly consumer: string
      readonly messageId: string
      readonly message: string
    }
  | {
      readonly kind: 'alert'
      readonly alertId: string
      readonly state: string
      readonly title: string
      readonly count: number
    }
  | {
      readonly kind: 'operation'
      readonly operationId: string
      readonly command: string
      readonly actor: string
      readonly state: string
    }
  | {
      readonly kind: 'replay'
      readonly replayId: string
      readonly state: string
      readonly released: number
      readonly total: number
    }

/** An attempt as it is told, and as the message view remembers it. */
export type AttemptRecord = Extract<RuntimeEventBody, { readonly kind: 'attempt' }>

export interface EventHub {
  publish(event: RuntimeEventBody): void
  /**
   * Calls `listener` for every event after `afterId` that is still kept, then for each new one.
   * `missed` is how many are gone that the reader has not seen.
   *
   * @throws JUNCTURA_TOO_MANY_READERS past LIMITS.streamReadersMax.
   */
  subscribe(options: {
    readonly afterId?: number
    readonly listener: (event: RuntimeEvent) => void
  }): { readonly missed: number; close(): void }
  readonly lastId: number
}
