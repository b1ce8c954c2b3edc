import type { AnyContract, Draft } from './contract.ts'
import type { Json } from './model.ts'
import type { SqlMigration } from './tables.ts'

/** Patterns of passing messages on. */
export type RoutePattern =
  | 'content-route'
  | 'recipient-list'
  | 'split'
  | 'aggregate'
  | 'resequence'
  | 'wire-tap'
  | 'claim-check'
  | 'enrich'

/** What a consumer that passes messages on emits and keeps. */
export interface Route {
  readonly pattern: RoutePattern
  readonly emits: readonly AnyContract[]
  /** Options of the pattern that the Model shows. */
  readonly facts: Readonly<Record<string, Json>>
  /** Tables of its own, beside those of the user. */
  readonly tables: readonly SqlMigration[]
  /** What is to be done when time has passed, while its consumer is at work. */
  readonly expire?: RouteExpiry
}

/**
 * Work that no message brings. What it emits it has read itself, so its `emit` are methods, which
 * may take less than `unknown`.
 */
export type RouteExpiry =
  /** Groups that are not complete in time. */
  | {
      readonly kind: 'groups'
      readonly partial: 'emit' | 'discard'
      emit(group: ExpiredGroup): Draft
    }
  /** Sequences that wait for a number that does not come. */
  | {
      readonly kind: 'sequences'
      readonly onGap: 'skip' | 'wait'
      readonly timeoutMs: number
      emit(data: unknown): Draft
    }
  /** Payloads that are no longer kept. */
  | { readonly kind: 'claims' }

export interface ExpiredGroup {
  readonly group: string
  readonly items: readonly unknown[]
}
