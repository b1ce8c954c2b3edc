import type { Compatibility, JsonSchema } from '../contract/index.ts'
import { compareSchemas } from './compare-schemas.ts'
import type { Difference } from './comparison.ts'

export type CompatibilityVerdict = 'compatible' | 'incompatible' | 'unknown'

export interface CompatibilityFinding extends Difference {
  /**
   * `backward`: data of the older version at readers of the newer one; `forward`: the other way.
   */
  readonly direction: 'backward' | 'forward'
}

export interface CompatibilityReport {
  readonly verdict: CompatibilityVerdict
  /** Every difference that matters, also notes, which do not change the verdict. */
  readonly findings: readonly CompatibilityFinding[]
}

export interface CompatibilityQuestion {
  readonly older: JsonSchema
  readonly newer: JsonSchema
  readonly mode: Compatibility
  /**
   * How reasons call the two.
   *
   * @default ['the older version', 'the newer version']
   */
  readonly names?: readonly [older: string, newer: string]
}

/**
 * Whether two versions of a contract may live side by side without an upcaster.
 *
 * - `backward`: what was written with the older version can be read with the newer one.
 * - `forward`: what is written with the newer version can be read with the older one.
 * - `full`: both. `none`: nothing is asked.
 *
 * The check is of JSON Schema as it validates, with one assumption: a member that a version does
 * not name is not sent by it, although open objects allow it. So a new optional member is
 * compatible, with a note. What the check does not understand (`not`, `if`, `contains`, two
 * different patterns …) makes the verdict `unknown`, never `compatible`. A rename is one member
 * gone and one required added.
 */
export const checkCompatibility = (question: CompatibilityQuestion): CompatibilityReport => {
  const { older, newer, mode } = question
  const [olderName, newerName] = question.names ?? ['the older version', 'the newer version']
  const findings: CompatibilityFinding[] = []
  if (mode === 'backward' || mode === 'full') {
    const found = compareSchemas({
      writerRoot: older,
      readerRoot: newer,
      writer: olderName,
      reader: newerName,
    })
    findings.push(...found.map((difference) => ({ ...difference, direction: 'backward' as const })))
  }
  if (mode === 'forward' || mode === 'full') {
    const found = compareSchemas({
      writerRoot: newer,
      readerRoot: older,
      writer: newerName,
      reader: olderName,
    })
    findings.push(...found.map((difference) => ({ ...difference, direction: 'forward' as const })))
  }
  return { verdict: verdictOf(findings), findings }
}

function verdictOf(findings: readonly CompatibilityFinding[]): CompatibilityVerdict {
  if (findings.some(({ verdict }) => verdict === 'incompatible')) return 'incompatible'
  return findings.some(({ verdict }) => verdict === 'unknown') ? 'unknown' : 'compatible'
}
