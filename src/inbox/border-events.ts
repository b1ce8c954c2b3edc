import type { Team } from '../contract/index.ts'
import type { RowWrite } from '../store/index.ts'

/** Something at the border that its owner should know. */
export interface BorderAlert {
  readonly kind: 'conflict' | 'contract-mismatch' | 'transform' | 'retrying' | 'shelf-full'
  /** Equal for equal causes, in every process. */
  readonly cause: string
  readonly title: string
  readonly webhook: string
  readonly owner: Team | undefined
  readonly severity: 'critical' | 'warning'
  readonly atMs: number
}

/** Makes an alert durable: what it returns commits with what raised the alert. */
export type RaiseBorderAlert = (alert: BorderAlert) => readonly RowWrite[]

/** What became of a verified request; for the live view. Told after the commit. */
export type BorderEvent =
  | {
      readonly kind: 'accepted'
      readonly webhook: string
      readonly id: string
      readonly key: string
      readonly events: number
      readonly atMs: number
    }
  | {
      readonly kind: 'duplicate' | 'duplicate-fact'
      readonly webhook: string
      readonly id: string | undefined
      readonly key: string
      readonly atMs: number
    }
  | {
      readonly kind: 'conflict'
      readonly webhook: string
      /** Of the message that has the key. */
      readonly id: string | undefined
      readonly key: string
      readonly invalidId: string | undefined
      readonly atMs: number
    }
  | {
      readonly kind: 'invalid'
      readonly webhook: string
      /** Any but `conflict`, which is an event of its own. */
      readonly reason: string
      readonly invalidId: string | undefined
      readonly atMs: number
    }
  | {
      readonly kind: 'transform-failed'
      readonly webhook: string
      readonly id: string
      readonly deadLetter: string
      readonly atMs: number
    }
  | {
      readonly kind: 'published'
      readonly id: string
      readonly type: string
      /** Undefined where the contract keeps no order. */
      readonly key: string | undefined
      readonly atMs: number
    }
