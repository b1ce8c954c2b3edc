import type { AnySaga, Integration } from '../contract/index.ts'
import { createMasker, type Masker } from '../security/index.ts'
import type { OperationRow, SagaRunRow } from '../store/index.ts'
import type { Masks } from './contract-masks.ts'

/** What people see of sagas: personal data is masked as the contracts say. */
export interface SagaMasks {
  run(run: SagaRunRow): SagaRunRow
  /** The journal of operations holds what a person gave to a saga. */
  operation(row: OperationRow): OperationRow
}

export const createSagaMasks = (integration: Integration, masks: Masks): SagaMasks => {
  const maskers = new Map<string, Masker>()
  /** What steps gave has no contract of its own: everything that is personal anywhere is masked. */
  const maskOf = (name: string): Masker => {
    const known = maskers.get(name)
    if (known) return known
    const saga = integration.sagas.find((one) => one.name === name)
    const masker = createMasker(saga ? personalOf(saga) : [])
    maskers.set(name, masker)
    return masker
  }
  return {
    run(run) {
      const personal = maskOf(run.saga)
      return {
        ...run,
        input: masks.of(run.inputType).value(run.input),
        ...(run.output !== undefined && { output: personal.value(run.output) }),
        inbox: run.inbox.map((one) => ({ ...one, data: masks.of(one.type).value(one.data) })),
        entries: run.entries.map((entry) => ({
          ...entry,
          ...(entry.output !== undefined && { output: personal.value(entry.output) }),
          ...(entry.input !== undefined && { input: personal.value(entry.input) }),
        })),
      }
    },
    operation(row) {
      if (!row.command.startsWith('saga.')) return row
      const given = row.parameters
      if (typeof given !== 'object' || given === null || !('saga' in given)) return row
      const personal = maskOf(String(given.saga))
      const parameters: Record<string, unknown> = { ...given }
      for (const name of ['data', 'value']) {
        if (name in parameters) parameters[name] = personal.value(parameters[name])
      }
      return { ...row, parameters }
    },
  }
}

const personalOf = (saga: AnySaga): readonly string[] => {
  const used = [saga.on, ...saga.uses.filter((one) => one.part === 'contract')]
  const paths = used.flatMap(({ pii }) => pii.flatMap((path) => [path, `data.${path}`]))
  return [...new Set(paths)]
}
