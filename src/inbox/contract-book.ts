import type { AnyContract } from '../contract/index.ts'
import { compileValidator, type Validation, type Validator } from '../schema/index.ts'

/**
 * Validators of every contract version, compiled once. What the integration names is compiled at
 * start; a contract that only a transform mentions is compiled when it is first emitted.
 */
export interface ContractBook {
  /** @throws JUNCTURA_DECLARATION when the schema cannot be compiled. */
  validate(contract: AnyContract, version: number, data: unknown): Validation
}

export const createContractBook = (contracts: Iterable<AnyContract>): ContractBook => {
  // By the versions a contract was declared with: `.version(n)` gives a new object of the same.
  const books = new Map<AnyContract['versions'], Map<number, Validator>>()
  const validatorOf = (contract: AnyContract, version: number): Validator | undefined => {
    let book = books.get(contract.versions)
    if (!book) {
      book = compileVersions(contract)
      books.set(contract.versions, book)
    }
    return book.get(version)
  }
  for (const contract of contracts) validatorOf(contract, contract.latest)
  return {
    validate(contract, version, data) {
      const validator = validatorOf(contract, version)
      if (validator) return validator.validate(data)
      const message = `The contract has no version ${version}.`
      return { ok: false, errors: [{ pointer: '', keyword: 'version', message }] }
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
