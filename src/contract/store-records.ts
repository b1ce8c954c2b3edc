import type { AnyContract } from './contract.ts'
import type { Integration } from './integration.ts'

/**
 * The same integration with every record in the store: where there is no broker on purpose, in
 * development and in tests, whose promises are those of the store.
 */
export const storeRecords = (integration: Integration): Integration => {
  const { contracts, consumers } = integration
  if (![...contracts.values()].some(({ record }) => record === 'transport')) return integration
  const stored = [...contracts].map(([name, contract]) => [name, inStore(contract)] as const)
  return {
    ...integration,
    contracts: new Map(stored),
    consumers: consumers.map((consumer) => ({ ...consumer, on: inStore(consumer.on) })),
  }
}

function inStore<C extends AnyContract>(contract: C): Omit<C, 'record'> {
  const { record: _, ...rest } = contract
  return rest
}
