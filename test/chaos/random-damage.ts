// Each file of a store that was killed at work, damaged at its head, in its middle and anywhere:
// the next start refuses it by name and a repair makes it usable, or nothing is wrong at all.
import {
  copyFileSync,
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { crc32 } from 'node:zlib'
import {
  type AttackLine,
  type Figures,
  faultsOf,
  figuresOf,
  runAtOnce,
  sumFigures,
} from './attack.ts'
import { createPartner, type Partner } from './partner.ts'
import { createRandom, type Random } from './random.ts'
import {
  ROUGH_ORDERS,
  runCommandLine,
  type RuntimeProcess,
  startArguments,
  startRuntime,
} from './runtime-process.ts'
import { judge, type Verdict } from './verdict.ts'

export const PLACES = ['head', 'middle', 'anywhere'] as const
export const DAMAGES = ['one bit', '64 random bytes', '4 KiB of zeros', 'cut off there'] as const

export interface DamageCase {
  readonly file: string
  readonly place: (typeof PLACES)[number]
  readonly damage: (typeof DAMAGES)[number]
  /** Of the 1st, 2nd, … time that this is tried. */
  readonly seed: number
}

export interface DamageResult extends DamageCase {
  readonly wasRefused: boolean
  /** Started, at once or after a repair. */
  readonly wasStarted: boolean
  readonly figures: Figures
  readonly faults: readonly string[]
}

/** A store that was killed at work, as its files stood at that moment. */
export interface KilledStore {
  readonly dataDir: string
  readonly files: readonly string[]
  readonly partner: Partner
  /** Pages of the database that hold rows of the user's own: these have no checksum. */
  readonly userPages: ReadonlySet<number>
}

const PAGE_BYTES = 8_192
const USER_TABLES = ['order_effects', 'order_updates'] as const

export const makeKilledStore = async (folder: string, messages: number): Promise<KilledStore> => {
  const dataDir = join(folder, 'killed')
  const partner = createPartner({ random: createRandom(8), giveUpShare: 0 })
  let runtime = await startRuntime({ dataDir, integration: ROUGH_ORDERS })
  try {
    await partner.startLoad(`${runtime.url}/webhooks/acme`, 8, messages).ended
    await judge({ partner, runtime, dataDir })
    // Most of it is in the database now, the rest in the write-ahead log.
    await runtime.terminate()
    runtime = await startRuntime({ dataDir, integration: ROUGH_ORDERS })
    await partner.startLoad(`${runtime.url}/webhooks/acme`, 8, messages + 50).ended
    await judge({ partner, runtime, dataDir })
  } finally {
    await runtime.kill()
  }
  const files = readdirSync(dataDir).toSorted()
  return { dataDir, files, partner, userPages: pagesOfUser(folder, dataDir) }
}

/** `times` of each kind of damage at each place of each file. */
export const listDamages = (files: readonly string[], times: number): DamageCase[] =>
  files.flatMap((file) =>
    PLACES.flatMap((place) =>
      DAMAGES.flatMap((damage) =>
        Array.from({ length: times }, (_, seed) => ({ file, place, damage, seed })),
      ),
    ),
  )

export const runDamages = (
  store: KilledStore,
  cases: readonly DamageCase[],
  places: number,
): Promise<readonly DamageResult[]> => runAtOnce(cases, places, (one) => runDamage(store, one))

async function runDamage(store: KilledStore, one: DamageCase): Promise<DamageResult> {
  const folder = mkdtempSync(join(tmpdir(), 'junctura-damage-'))
  const dataDir = join(folder, 'data')
  const faults: string[] = []
  try {
    cpSync(store.dataDir, dataDir, { recursive: true })
    const at = doDamage(store, one, join(dataDir, one.file))
    const started = await startOrRepair(dataDir, faults)
    const verdict = started && (await judgeAfter(store, dataDir, started, faults))
    const where = `${one.damage} at byte ${at} of ${one.file}`
    return {
      ...one,
      wasRefused: started?.wasRefused ?? true,
      wasStarted: started !== undefined,
      figures: verdict ? figuresOf(verdict) : sumFigures([]),
      faults: faults.map((fault) => `${where}: ${fault}`),
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

interface Started {
  readonly runtime: RuntimeProcess
  readonly wasRefused: boolean
  /** What the repair said, if there was one. */
  readonly report: string
}

/** A start that refuses has to say which file, and what to do about it; that is then done. */
async function startOrRepair(dataDir: string, faults: string[]): Promise<Started | undefined> {
  const options = { dataDir, integration: ROUGH_ORDERS }
  const first = await startRuntime(options).catch(() => undefined)
  if (first) return { runtime: first, wasRefused: false, report: '' }
  const refusal = (await runCommandLine(startArguments(options))).output
  const isNamed = /JUNCTURA_STORE_DAMAGED/.test(refusal) && /junctura\.\S+/.test(refusal)
  if (!isNamed || !/doctor --data \S+.*--repair/.test(refusal)) {
    faults.push(`refused without a name or a way out: ${refusal}`)
  }
  const anyPort = ['--port', '0', '--management-port', '0']
  const repair = ['doctor', '--data', dataDir, '--repair', '--yes', ...anyPort]
  const { code, output } = await runCommandLine(repair)
  // Where the list of tables is gone, that is what it has to say, and to change nothing.
  if (output.includes('only a backup can replace it')) return undefined
  if (code !== 0) faults.push(`the repair ended with ${code}: ${output}`)
  try {
    return { runtime: await startRuntime(options), wasRefused: true, report: output }
  } catch (error) {
    faults.push(`the repaired store does not start: ${String(error)}`)
    return undefined
  }
}

/** Without a refusal all has to be there; after a repair, what is missing has to have been said. */
async function judgeAfter(
  store: KilledStore,
  dataDir: string,
  { runtime, wasRefused, report }: Started,
  faults: string[],
): Promise<Verdict | undefined> {
  const { partner } = store
  try {
    const verdict = await judge({ partner, runtime, dataDir, settleMsMax: 2_000 })
    const found = faultsOf(verdict, partner)
    if (!wasRefused) faults.push(...found.map((fault) => `silently wrong: ${fault}`))
    else if (found.length > 0 && !/\bwarn +repair\b/.test(report)) {
      faults.push(...found.map((fault) => `the repair did not say: ${fault}`))
    }
    return verdict
  } catch (error) {
    // The views of a store with a hole may have a hole themselves, which then has to be named.
    const isSaid = wasRefused && /\bwarn +repair\b/.test(report)
    if (!isSaid) faults.push(`it cannot be judged: ${String(error)}`)
    return undefined
  } finally {
    await runtime.kill()
  }
}

/** Damages the file; returns where. */
function doDamage(store: KilledStore, one: DamageCase, path: string): number {
  const random = createRandom(seedOf(one))
  const bytes = readFileSync(path)
  const length = {
    'one bit': 1,
    '64 random bytes': 64,
    '4 KiB of zeros': 4_096,
    'cut off there': 0,
  }[one.damage]
  let at = pickOffset(random, one.place, bytes.length)
  while (one.file === 'junctura.db' && touchesUser(store, at, length)) {
    at = pickOffset(random, one.place, bytes.length)
  }
  if (one.damage === 'cut off there') {
    writeFileSync(path, bytes.subarray(0, at))
    return at
  }
  // A file that is shorter grows: the rest of its block on the disk went wrong with it.
  const grown = Buffer.concat([bytes, Buffer.alloc(Math.max(0, at + length - bytes.length))])
  for (let index = at; index < at + length; index++) {
    const old = grown[index] ?? 0
    if (one.damage === 'one bit') grown[index] = old ^ (1 << random.between(0, 7))
    else grown[index] = one.damage === '4 KiB of zeros' ? 0 : random.between(0, 255)
  }
  writeFileSync(path, grown)
  return at
}

const HEAD_BYTES = 128

function pickOffset(random: Random, place: DamageCase['place'], size: number): number {
  if (place === 'head') return random.between(0, Math.min(size, HEAD_BYTES))
  if (place === 'middle') return random.between(Math.floor(size / 4), Math.floor((size * 3) / 4))
  return random.between(0, size)
}

const touchesUser = ({ userPages }: KilledStore, at: number, length: number): boolean => {
  const last = Math.floor((at + Math.max(0, length - 1)) / PAGE_BYTES) + 1
  for (let page = Math.floor(at / PAGE_BYTES) + 1; page <= last; page++) {
    if (length > 0 && userPages.has(page)) return true
  }
  return false
}

const seedOf = ({ file, place, damage, seed }: DamageCase): number =>
  crc32(`${file} ${place} ${damage} ${seed}`)

/** As the database file alone has them, and as it has them with its write-ahead log. */
function pagesOfUser(folder: string, dataDir: string): ReadonlySet<number> {
  const pages = new Set<number>()
  for (const names of [['junctura.db'], ['junctura.db', 'junctura.db-wal']]) {
    const copy = mkdtempSync(join(folder, 'pages-'))
    for (const name of names) copyFileSync(join(dataDir, name), join(copy, name))
    const db = new DatabaseSync(join(copy, 'junctura.db'))
    const list = USER_TABLES.map((name) => `'${name}', 'sqlite_autoindex_${name}_1'`).join()
    const rows = db.prepare(`select pageno from dbstat where name in (${list})`).all()
    for (const row of rows) pages.add(Number(row['pageno']))
    db.close()
  }
  return pages
}

/** One line for each file. */
export const describeDamages = (results: readonly DamageResult[]): readonly AttackLine[] =>
  [...Map.groupBy(results, ({ file }) => file)].map(([file, of]) => {
    const harmless = of.filter(({ wasRefused }) => !wasRefused).length
    const hopeless = of.filter(({ wasStarted }) => !wasStarted).length
    const repaired = of.length - harmless - hopeless
    const rest = hopeless > 0 ? `, ${hopeless} refused with nothing left to repair` : ''
    return {
      what: `${file} damaged at head, middle and anywhere`,
      recovery: `${harmless} harmless, ${repaired} refused by name and repaired${rest}`,
      faults: of.flatMap(({ faults }) => faults),
    }
  })
