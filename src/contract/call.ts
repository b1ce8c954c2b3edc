import { checkName } from './declaration-error.ts'
import { callerLocation, type SourceLocation } from './source-location.ts'
import type { System } from './system.ts'

/**
 * An edge between systems that Junctura does not run, declared so that the Model, and what reads
 * it, knows the whole picture.
 */
export interface Call {
  readonly part: 'call'
  readonly name: string
  readonly from: System
  readonly to: System
  readonly style: 'rpc' | 'messaging' | 'file' | 'shared-database'
  readonly coordination: 'sync' | 'async'
  readonly guarantee: 'at-most-once' | 'at-least-once' | 'exactly-once-effects' | 'unknown'
  readonly verified: boolean
  /** Why it leaves the default, which is asynchronous messaging. */
  readonly reason?: string
  readonly summary?: string
  readonly at: SourceLocation
}

export interface CallOptions {
  readonly from: System
  readonly to: System
  readonly style: Call['style']
  /** @default 'sync' for rpc and shared-database, 'async' for messaging and file */
  readonly coordination?: Call['coordination']
  /** @default 'unknown' */
  readonly guarantee?: Call['guarantee']
  /** Whether the receiver checks who calls. @default false */
  readonly verified?: boolean
  readonly reason?: string
  readonly summary?: string
}

export const call = (name: string, options: CallOptions): Call => ({
  part: 'call',
  coordination: options.style === 'rpc' || options.style === 'shared-database' ? 'sync' : 'async',
  guarantee: 'unknown',
  verified: false,
  ...options,
  name: checkName(name, 'call'),
  at: callerLocation(),
})
