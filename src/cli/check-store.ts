import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Integration } from '../contract/index.ts'
import { isJuncturaError, type Kernel, messageOf } from '../kernel/index.ts'
import { openStore, type StoreChoice, viewLeases } from '../runtime/index.ts'
import { type RepairReport, repairSqliteStore, type Store } from '../store/index.ts'
import { type Check, fail, ok, warn } from './doctor-check.ts'

export interface StoreCheckOptions {
  readonly kernel: Kernel
  readonly choice: StoreChoice
  /** Reads everything, and not only what a start reads. */
  readonly deep: boolean
  /** What the engine has to keep, where a declaration was given. */
  readonly integration?: Integration | undefined
}

/** Opens the store as a start would, and closes it again. Makes nothing that was not there. */
export const checkStore = async (options: StoreCheckOptions): Promise<readonly Check[]> => {
  const { kernel, choice } = options
  if (choice.engine === 'memory') return [ok('store', 'memory: gone with the process')]
  if (choice.engine === 'sqlite' && !existsSync(join(choice.directory, 'junctura.db'))) {
    return [ok('store', `nothing is stored in ${choice.directory} yet`)]
  }
  let store: Store
  try {
    store = await openStore(choice, kernel)
  } catch (error) {
    return [refusedOpening(error)]
  }
  try {
    const size = await store.sizeBytes()
    const { engine, unitOfOrder } = store.features
    const bytes = size === undefined ? '' : `, ${size} bytes`
    const text = `${engine} opens${bytes}; it keeps order per ${unitOfOrder}`
    return [
      ok('store', text),
      ...(await checkEngine(store, options.integration)),
      ...(await checkSharing(store)),
      ...(options.deep ? await checkDeeply(store) : []),
    ]
  } finally {
    await store.close()
  }
}

/** The live server, against what the contracts promise. */
async function checkEngine(
  store: Store,
  integration: Integration | undefined,
): Promise<readonly Check[]> {
  if (!store.examine) return []
  const contracts = [...(integration?.contracts.values() ?? [])]
  const findings = await store.examine({
    durableContracts: contracts
      .filter(({ guarantee }) => guarantee !== 'at-most-once')
      .map(({ name }) => name),
    hasTables: (integration?.tables.length ?? 0) > 0,
  })
  const survives = `what is acknowledged survives ${SURVIVES[store.features.durability]}`
  return [
    ok('durability', survives),
    ...findings.map(({ severity, resource, problem, fix }) =>
      (severity === 'error' ? fail : warn)('store', `${resource}: ${problem}`, fix),
    ),
  ]
}

const SURVIVES: Readonly<Record<Store['features']['durability'], string>> = {
  process: 'the end of the process, not a power failure',
  fsync: 'a power failure, not the loss of the machine',
  replicated: 'the loss of the machine',
}

/** How processes on one store hear of each other, and which of them runs the consumers. */
async function checkSharing(store: Store): Promise<readonly Check[]> {
  const checks: Check[] = []
  const watch = await store.watch?.(() => undefined)
  if (watch?.mode === 'listen') {
    checks.push(ok('wake-up', 'by notice (LISTEN): what another process appends is heard at once'))
  } else if (watch) {
    checks.push(
      warn(
        'wake-up',
        'by looking: a notice does not come through, so messages wait some 30 ms longer',
        'Connect to the server directly or through a pooler in session mode to be told at once.',
      ),
    )
  }
  await watch?.close()
  const view = store.leases && (await viewLeases(store.leases, { partitions: [] }))
  return view ? [...checks, ...sharesOf(view)] : checks
}

type LeaseView = Awaited<ReturnType<typeof viewLeases>>

/** Who runs what, and who publishes what. */
function sharesOf({ workers, relays, partitions, publishers, duties }: LeaseView): Check[] {
  const hasOf = (held: LeaseView['partitions'], owner: string): string =>
    [...held]
      .filter(([, holder]) => holder.owner === owner)
      .map(([id]) => id)
      .toSorted()
      .join(', ')
  const tell = (word: string, owner: string, url: string | undefined): Check => {
    const where = url === undefined ? owner : `${owner} at ${url}`
    const published = hasOf(publishers, owner)
    const does = [
      ...(word === 'worker' ? [`runs ${hasOf(partitions, owner) || 'nothing'}`] : []),
      ...(published !== '' || word === 'relay' ? [`publishes ${published || 'nothing'}`] : []),
    ]
    const rest = duties?.owner === owner ? ', and the duties of the store' : ''
    return ok(word, `${where} ${does.join(', ')}${rest}`)
  }
  return [
    ...[...workers].map(([owner, { url }]) => tell('worker', owner, url)),
    ...[...relays].map(([owner, { url }]) => tell('relay', owner, url)),
  ]
}

async function checkDeeply(store: Store): Promise<readonly Check[]> {
  const problems = await store.check()
  if (problems.length === 0) return [ok('store content', 'every part of it reads well')]
  return problems.map(({ resource, problem, fix }) =>
    fail(`store content`, `${resource}: ${problem}`, fix),
  )
}

function refusedOpening(error: unknown): Check {
  if (isJuncturaError(error, 'JUNCTURA_STORE_LOCKED')) {
    const text = `in use by process ${String(error.details['pid'])}; its content was not looked at`
    return warn('store', text, 'Stop that process to have the store checked.')
  }
  const fix = isJuncturaError(error) ? error.advice : 'Look at the cause.'
  const code = isJuncturaError(error) ? ` (${error.code})` : ''
  return fail('store', `${messageOf(error)}${code}`, fix)
}

/** Salvages a damaged store; what could not be saved is named. */
export const repairStore = async (
  kernel: Kernel,
  directory: string,
): Promise<{ readonly report: RepairReport; readonly checks: readonly Check[] }> => {
  const { clock, random } = kernel
  const report = await repairSqliteStore({ directory, clock, random })
  const { records, rows, lostPositions, lost, damagedFile } = report
  const lostText = [
    ...lostPositions.map(({ from, to }) => `positions ${from} to ${to} are lost`),
    ...lost,
  ]
  const text = `${records} messages and ${rows} rows are kept; the old file is ${damagedFile}`
  const fix = 'Ask the senders to send again what is lost; then remove the old file.'
  return {
    report,
    checks: [ok('repair', text), ...lostText.map((each) => warn('repair', each, fix))],
  }
}
