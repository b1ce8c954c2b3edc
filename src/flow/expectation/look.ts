import {
  type AnyContract,
  contractsOf,
  type Correlated,
  type Envelope,
  type Expectation,
} from '../../contract/index.ts'
import { JuncturaError, messageOf } from '../../kernel/index.ts'
import type { Delivered } from '../../transport/index.ts'
import { rowKeyOf } from './expectation-rows.ts'
import type { Seen } from './follow.ts'

/** What an expectation sees in a record. */
export type Look =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'seen'; readonly rowKey: string; readonly seen: Seen }
  | { readonly kind: 'unreadable'; readonly messageId: string; readonly problem: string }

export interface LookPorts {
  /** The data as the contract's version that was asked for; throws when it cannot be. */
  readonly readData: (contract: AnyContract, envelope: Envelope, data: Uint8Array) => unknown
  /** Replaces personal data of the message in a text. */
  readonly maskText: (contract: AnyContract, text: string, data: unknown) => string
}

const NOTHING: Look = { kind: 'nothing' }

interface Role {
  readonly contract: AnyContract
  readonly begins: Correlated | undefined
  readonly ends: Correlated | undefined
  readonly how: 'met' | 'undone'
}

/** Reads records as one expectation understands them. */
export const createLook = (
  expectation: Expectation,
  ports: LookPorts,
): ((delivered: Delivered) => Look) => {
  const roles = new Map(contractsOf(expectation).map((one) => [one.name, roleOf(expectation, one)]))
  const rowKey = rowKeyOf(expectation)
  return (delivered) => {
    const { record, position, atMs } = delivered
    const { envelope } = record.head
    const role = roles.get(envelope.type)
    // A receipt without data tells what the border did.
    if (!role || record.data.length === 0) return NOTHING
    const { contract } = role
    try {
      const read = lazy(() => ports.readData(contract, envelope, record.data))
      const begun = keyOf(role.begins, envelope, read)
      const ended = keyOf(role.ends, envelope, read)
      const key = begun ?? ended
      if (key === undefined) return NOTHING
      const shown = contract.pii.length === 0 ? key : ports.maskText(contract, key, read())
      const seen: Seen = {
        key: shown,
        messageId: envelope.id,
        type: envelope.type,
        position,
        correlationId: envelope.correlationid,
        atMs,
        begins: begun !== undefined,
        ends: ended === undefined ? undefined : role.how,
      }
      return { kind: 'seen', rowKey: rowKey(key), seen }
    } catch (error) {
      return { kind: 'unreadable', messageId: envelope.id, problem: messageOf(error) }
    }
  }
}

function roleOf({ after, expect, undoneBy }: Expectation, contract: AnyContract): Role {
  const find = (list: readonly Correlated[]): Correlated | undefined =>
    list.find((one) => one.contract.name === contract.name)
  const met = find(expect)
  return {
    contract,
    begins: find(after),
    ends: met ?? find(undoneBy),
    how: met ? 'met' : 'undone',
  }
}

function keyOf(
  correlated: Correlated | undefined,
  envelope: Envelope,
  read: () => unknown,
): string | undefined {
  if (!correlated) return undefined
  if (!correlated.by) return envelope.partitionkey
  const key: unknown = correlated.by(read())
  if (key === undefined || key === null || key === '') return undefined
  if (typeof key === 'string' || typeof key === 'number') return String(key)
  const problem = `correlate(${correlated.contract.name}) gave ${typeof key}, not a text`
  throw new JuncturaError('JUNCTURA_USAGE', { details: { problem } })
}

function lazy(read: () => unknown): () => unknown {
  let known: { readonly value: unknown } | undefined
  return () => (known ??= { value: read() }).value
}
