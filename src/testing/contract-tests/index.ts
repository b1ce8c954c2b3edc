export type { ContractCase, ContractCaseReport } from './contract-case.ts'
export { contractTests, type ContractTestOptions } from './contract-tests.ts'
