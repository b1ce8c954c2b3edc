import { must } from '../../kernel/index.ts'
import type { Append, Claim, ClaimedKey, Guard, RowWrite, Unit, UnitOutcome } from '../store.ts'
import { type CheckedWork, committedOutcome, type EncodedRow, encodeRow } from '../unit-check.ts'

/** What the units of one commit write, gathered so that each table is written once, at the end. */
export interface UnitGroup {
  /** Why a unit is refused, seen after the units before it; undefined when it may go on. */
  refusalOf(unit: Unit): UnitOutcome | undefined
  /** Keys that were found taken after the start, by `claimId`. */
  learn(taken: ReadonlyMap<string, number>): void
  /** Takes a unit's work; a record whose own key is taken is left out. */
  add(claims: readonly Claim[], work: CheckedWork): UnitOutcome
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

export interface PlacedClaim extends ClaimedKey {
  readonly position: number
}

export interface UnitGroupStart {
  readonly head: number
  /** Positions of the keys that are taken already, by `claimId`. */
  readonly taken: ReadonlyMap<string, number>
  /** Rows named by guards that are there, by `rowId`. */
  readonly present: ReadonlySet<string>
}

export const claimId = ({ scope, key }: Pick<ClaimedKey, 'scope' | 'key'>): string =>
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
  const taken = new Map(start.taken)
  const takenAt = (claim: ClaimedKey): number | undefined =>
    claims.get(claimId(claim))?.position ?? taken.get(claimId(claim))

  return {
    refusalOf(unit) {
      for (const [index, claim] of (unit.claims ?? []).entries()) {
        const position = takenAt(claim)
        if (position !== undefined) return { status: 'duplicate', claim: index, position }
      }
      const guard = (unit.guards ?? []).findIndex((candidate) => !holds(candidate))
      return guard < 0 ? undefined : { status: 'guarded', guard }
    },
    learn(found) {
      for (const [id, position] of found) taken.set(id, position)
    },
    add(unitClaims, work) {
      const leftOut: number[] = []
      const positions = work.appends.map((append, place) => {
        const { claim } = append
        const position = claim && takenAt(claim)
        if (position !== undefined) {
          leftOut.push(place)
          return position
        }
        head += 1
        appends.push({ ...append, position: head })
        if (claim) claims.set(claimId(claim), { ...claim, position: head })
        return head
      })
      for (const claim of unitClaims) {
        const position = must(positions[claim.append], 'a claim names a record of its unit')
        const id = claimId(claim)
        // The same key twice in one unit stands for its first record.
        if (!claims.has(id)) claims.set(id, { ...claim, position })
      }
      for (const row of work.rows) rows.set(rowId(row), row)
      return committedOutcome(positions, leftOut)
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
