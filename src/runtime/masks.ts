import type { Integration } from '../contract/index.ts'
import { createMasker, type Masker } from '../security/index.ts'

/** Masks by contract name; a contract without personal data masks nothing. */
export interface Masks {
  of(contract: string): Masker
}

export const createMasks = (integration: Integration): Masks => {
  const nothing = createMasker([])
  const byName = new Map(
    [...integration.contracts.values()].map(
      (contract) => [contract.name, createMasker(contract.pii)] as const,
    ),
  )
  return { of: (contract) => byName.get(contract) ?? nothing }
}
