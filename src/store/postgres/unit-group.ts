import { must } from '../../kernel/index.ts'
import type { Append, Claim, Guard, RowWrite, Unit, UnitOutcome } from '../store.ts'
import { type CheckedWork, type EncodedRow, encodeRow } from '../unit-check.ts'

/** What the units of one commit write, gathered so that each table is written once, at the end. */
export interface UnitGroup {
  /** Why a unit is refused, seen after the units before it; undefined when it may go on. */
  refusalOf(unit: Unit): UnitOutcome | undefined
  /** Takes a unit's work; gives the positions of its records. */
  add(claims: readonly Claim[], work: CheckedWork): readonly number[]
  put(write: RowWrite): void
  readonly head: number
  readonly appends: readonly PlacedAppend[]
  readonly claims: readonly PlacedClaim[]
  /** The last word on each row. */
  readonly rows: readonly EncodedRow[]
}

export interface PlacedAppend extends Append {
  readonly position: number
}

export interface PlacedClaim extends Claim {
  readonly position: number
}

export interface UnitGroupStart {
  readonly head: number
  /** Positions of the keys that are taken already, by `claimId`. */
  readonly taken: ReadonlyMap<string, number>
  /** Rows named by guards that are there, by `rowId`. */
  readonly present: ReadonlySet<string>
}

export const claimId = ({ scope, key }: Pick<Claim, 'scope' | 'key'>): string =>
  `${scope.length}:${scope}${key}`

export const rowId = ({ collection, key }: Pick<Guard, 'collection' | 'key'>): string =>
  `${collection}\n${key}`

export const createUnitGroup = (start: UnitGroupStart): UnitGroup => {
  const appends: PlacedAppend[] = []
  const claims = new Map<string, PlacedClaim>()
  const rows = new Map<string, EncodedRow>()
  let { head } = start

  const holds = (guard: Guard): boolean => {
    const id = rowId(guard)
    const written = rows.get(id)
    const present = written ? written.value !== undefined : start.present.has(id)
    return present === (guard.is === 'present')
  }
  const takenAt = (claim: Claim): number | undefined =>
    claims.get(claimId(claim))?.position ?? start.taken.get(claimId(claim))

  return {
    refusalOf(unit) {
      for (const [index, claim] of (unit.claims ?? []).entries()) {
        const position = takenAt(claim)
        if (position !== undefined) return { status: 'duplicate', claim: index, position }
      }
      const guard = (unit.guards ?? []).findIndex((candidate) => !holds(candidate))
      return guard < 0 ? undefined : { status: 'guarded', guard }
    },
    add(unitClaims, work) {
      const positions = work.appends.map((append) => {
        head += 1
        appends.push({ ...append, position: head })
        return head
      })
      for (const claim of unitClaims) {
        const position = must(positions[claim.append], 'a claim names a record of its unit')
        const id = claimId(claim)
        // The same key twice in one unit stands for its first record.
        if (!claims.has(id)) claims.set(id, { ...claim, position })
      }
      for (const row of work.rows) rows.set(rowId(row), row)
      return positions
    },
    put(write) {
      rows.set(rowId(write), encodeRow(write))
    },
    get head() {
      return head
    },
    appends,
    get claims() {
      return [...claims.values()]
    },
    get rows() {
      return [...rows.values()]
    },
  }
}
