import type { AnyContract } from '../contract/index.ts'
import {
  compileValidator,
  evaluateUpcast,
  type Validation,
  type Validator,
} from '../schema/index.ts'

/**
 * Validators of every contract version, compiled once. What the integration names is compiled at
 * start; a contract that only a transform mentions is compiled when it is first emitted.
 */
export interface ContractBook {
  /** @throws JUNCTURA_DECLARATION when the schema cannot be compiled. */
  validate(contract: AnyContract, version: number, data: unknown): Validation
  /**
   * Lifts data to the latest version.
   *
   * @throws JUNCTURA_UPCAST_FAILED when a step is missing, throws or gives invalid data.
   */
  lift(contract: AnyContract, version: number, data: unknown): unknown
  /** What the data of a message may take whose record is the broker. */
  readonly recordDataBytesMax: number
}

export const createContractBook = (
  contracts: Iterable<AnyContract>,
  recordDataBytesMax: number = Infinity,
): ContractBook => {
  // By the versions a contract was declared with: `.version(n)` gives a new object of the same.
  const books = new Map<AnyContract['versions'], Map<number, Validator>>()
  const validatorsOf = (contract: AnyContract): ReadonlyMap<number, Validator> => {
    let book = books.get(contract.versions)
    if (!book) {
      book = compileVersions(contract)
      books.set(contract.versions, book)
    }
    return book
  }
  for (const contract of contracts) validatorsOf(contract)
  return {
    recordDataBytesMax,
    validate(contract, version, data) {
      const validator = validatorsOf(contract).get(version)
      if (validator) return validator.validate(data)
      const message = `The contract has no version ${version}.`
      return { ok: false, errors: [{ pointer: '', keyword: 'version', message }] }
    },
    lift(contract, version, data) {
      if (version === contract.latest) return data
      const { name, upcast, latest: to } = contract
      const validators = validatorsOf(contract)
      return evaluateUpcast({ contract: name, validators, upcast }, { data, from: version, to })
    },
  }
}

function compileVersions(contract: AnyContract): Map<number, Validator> {
  const compiled = new Map<number, Validator>()
  for (const [version, schema] of contract.versions) {
    const field = `${contract.kind} "${contract.name}".versions.${version}`
    compiled.set(version, compileValidator(schema, field))
  }
  return compiled
}
