import type { AnyContract, Integration, JsonSchema, StartFinding } from '../contract/index.ts'
import { checkCompatibility } from '../schema/index.ts'
import type { Store } from '../store/index.ts'

/**
 * Holds a contract's published versions to its compatibility mode: a version that ran here before
 * may change only as the mode allows, since its messages are in the log and its partners rely on
 * it. Anything else is a new version. What cannot be judged is let through.
 */
export const checkDrift = async (
  integration: Integration,
  store: Store,
): Promise<readonly StartFinding[]> => {
  const published = await lastPublished(store)
  return [...integration.contracts.values()].flatMap((contract) =>
    [...contract.versions].flatMap(([version, schema]) => {
      const older = published.get(`${contract.name}\n${version}`)
      return older === undefined ? [] : compare(contract, { version, older, newer: schema })
    }),
  )
}

function compare(
  contract: AnyContract,
  change: { readonly version: number; readonly older: JsonSchema; readonly newer: JsonSchema },
): readonly StartFinding[] {
  const { version, older, newer } = change
  if (contract.compatibility === 'none' || JSON.stringify(older) === JSON.stringify(newer))
    return []
  const report = checkCompatibility({ older, newer, mode: contract.compatibility })
  const broken = report.findings.filter((finding) => finding.verdict === 'incompatible')
  if (broken.length === 0) return []
  const reasons = broken.slice(0, 5).map((finding) => `${finding.path || '/'} ${finding.reason}`)
  return [
    {
      rule: 'compatibility',
      part: `${contract.kind} "${contract.name}"`,
      at: contract.at,
      problem:
        `version ${version} has run here with another schema, and the change is not ` +
        `${contract.compatibility} compatible: ${reasons.join('; ')}`,
      fix:
        `leave version ${version} as it was and declare version ${contract.latest + 1} with the ` +
        `change, or write compatibility: 'none'`,
    },
  ]
}

/** Schemas of the Model that ran last, by contract and version. */
async function lastPublished(store: Store): Promise<ReadonlyMap<string, JsonSchema>> {
  const found = new Map<string, JsonSchema>()
  const [last] = await store.scan({ collection: 'starts', reverse: true, limit: 1 })
  const row = last && (await store.row('models', last.row.modelHash))
  const model = row?.model
  if (typeof model !== 'object' || model === null || !('contracts' in model)) return found
  // We wrote it ourselves, as schemas/model.schema.json says.
  const { contracts } = model as { readonly contracts: readonly PublishedContract[] }
  for (const { name, versions } of contracts) {
    for (const { version, schema } of versions) found.set(`${name}\n${version}`, schema)
  }
  return found
}

interface PublishedContract {
  readonly name: string
  readonly versions: readonly { readonly version: number; readonly schema: JsonSchema }[]
}
