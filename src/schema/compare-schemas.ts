import type { JsonSchema } from '../contract/index.ts'
import { canonicalJson } from './canonical-json.ts'
import { compareMembers } from './compare-members.ts'
import { compareScalars } from './compare-scalars.ts'
import {
  type Parts,
  type SchemaNode,
  isNode,
  isRecord,
  listOf,
  mapOf,
  partsOf,
  stringsOf,
  typesOf,
  valuesOf,
} from './schema-facts.ts'

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
  compare(writer: Parts, reader: SchemaNode, path: string): readonly Difference[]
  compareNode(writer: SchemaNode, reader: SchemaNode, path: string): readonly Difference[]
}

/** Pairs of schemas looked at; unions inside unions multiply. */
const PAIRS_MAX = 5_000

/**
 * Whether every value of the writer is one of the reader, keyword by keyword of the reader: each must
 * be implied by what the writer says. What cannot be decided that way is `unknown`, never compatible.
 */
export const compareSchemas = (comparison: Comparison): readonly Difference[] => {
  const ids = new Map<object, number>()
  const idOf = (part: object): number => {
    const id = ids.get(part) ?? ids.size
    ids.set(part, id)
    return id
  }
  const pairs = new Set<string>()
  const walk: Walk = {
    ...comparison,
    compareNode(writer, reader, path) {
      const parts = partsOf(writer, comparison.writerRoot)
      if (parts === undefined) return []
      if (typeof parts === 'string') return [unknown(path, 'reference', parts)]
      return walk.compare(parts, reader, path)
    },
    compare(writer, reader, path) {
      const readerParts = partsOf(reader, comparison.readerRoot)
      if (typeof readerParts === 'string') return [unknown(path, 'reference', readerParts)]
      if (readerParts === undefined) {
        const reason = `${comparison.writer} may send it, ${comparison.reader} allows no value here`
        return [{ verdict: 'incompatible', path, rule: 'not-allowed', reason }]
      }
      const pair = `${writer.map(idOf).join()}:${readerParts.map(idOf).join()}`
      // Met again inside itself: a recursive schema agrees with itself unless some place differs.
      if (pairs.has(pair)) return []
      if (pairs.size >= PAIRS_MAX) return [unknown(path, 'too-large', 'the schemas are too large')]
      pairs.add(pair)
      const found = readerParts.flatMap((part) => comparePart(walk, writer, part, path))
      pairs.delete(pair)
      return found
    },
  }
  return walk.compareNode(comparison.writerRoot, comparison.readerRoot, '')
}
