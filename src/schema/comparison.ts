import type { JsonSchema } from '../contract/index.ts'
import { canonicalJson } from './canonical-json.ts'
import { type Parts, type SchemaNode, isRecord, mapOf } from './schema-facts.ts'

/** What was found about one place of the document. */
export interface Difference {
  readonly verdict: 'incompatible' | 'unknown' | 'note'
  /** JSON Pointer into the document; `*` stands for any item or any other member. */
  readonly path: string
  /** Permanent short name of the kind of difference. */
  readonly rule: string
  readonly reason: string
}

/** One comparison: may everything that `writer` allows be read by `reader`? */
export interface Comparison {
  readonly writerRoot: JsonSchema
  readonly readerRoot: JsonSchema
  /** How sentences call the two, such as "version 1". */
  readonly writer: string
  readonly reader: string
}

/** A comparison on its way: the rules recurse through `compare`. */
export interface Walk extends Comparison {
  /** Whether both parts say the same in the same words, also behind their references. */
  isSameText(writer: JsonSchema, reader: JsonSchema): boolean
  /** Counts one step of work; true once there have been too many. */
  isSpent(): boolean
  compare(writer: Parts, reader: SchemaNode, path: string): readonly Difference[]
  compareNode(writer: SchemaNode, reader: SchemaNode, path: string): readonly Difference[]
}

/** What the writer says in parts, against one part of the reader, at one path. */
export interface Facing {
  readonly writer: Parts
  readonly reader: JsonSchema
  readonly path: string
}

export const unknown = (path: string, rule: string, reason: string): Difference => ({
  verdict: 'unknown',
  path,
  rule,
  reason: `this cannot be compared: ${reason}`,
})

export const incompatible = (path: string, rule: string, reason: string): Difference => ({
  verdict: 'incompatible',
  path,
  rule,
  reason,
})

export const isSame = (left: unknown, right: unknown): boolean =>
  left === right ||
  (isRecord(left) === isRecord(right) && canonicalJson(left) === canonicalJson(right))

export const namesOf = (parts: Parts, keyword: string): readonly string[] => [
  ...new Set(parts.flatMap((part) => [...mapOf(part[keyword]).keys()])),
]
