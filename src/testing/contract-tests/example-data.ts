import { type AnyContract, type JsonSchema, valueAt } from '../../contract/index.ts'
import { JuncturaError, type Random, toHex } from '../../kernel/index.ts'
import { compileValidator, makeExample, type Validator } from '../../schema/index.ts'

/** Makes data of one version of a contract; every value it gives is valid. */
export interface DataMaker {
  readonly schema: JsonSchema
  /** An example, or the data that was given for it. */
  example(): unknown
  /** The same data with another value at a path; undefined when the schema allows no other. */
  vary(data: unknown, path: string, used?: ReadonlySet<string>): unknown
  /** The same data with this value at a path; undefined when the schema does not allow it. */
  put(data: unknown, path: string, value: unknown): unknown
}

/** Fresh examples that are searched for one that fits, or for another value of a field. */
const TRIES = 24

const validators = new WeakMap<JsonSchema, Validator>()

/** Compiled once per schema: every case makes data of its own. */
function validatorOf(schema: JsonSchema, field: string): Validator {
  const validator = validators.get(schema) ?? compileValidator(schema, field)
  validators.set(schema, validator)
  return validator
}

/** @throws JUNCTURA_USAGE when the data that was given is not valid. */
export const createDataMaker = (
  contract: AnyContract,
  version: number,
  options: {
    readonly random: Random
    readonly given?: unknown
    /** What is made has to pass it too. */
    readonly filter?: (data: unknown) => boolean
  },
): DataMaker => {
  const { random, given, filter } = options
  const schema = contract.versions.get(version) ?? {}
  const validator = validatorOf(schema, `${contract.name} version ${version}`)
  const isValid = (data: unknown): boolean =>
    validator.validate(data).ok && (filter?.(data) ?? true)
  if (given !== undefined) refuseInvalid(validator, given, `${contract.name} version ${version}`)
  const put = (data: unknown, path: string, value: unknown): unknown => {
    const changed = withValue(data, path.split('.'), value)
    return changed !== undefined && isValid(changed) ? changed : undefined
  }
  return {
    schema,
    put,
    example() {
      if (given !== undefined) return structuredClone(given)
      for (let time = 1; ; time++) {
        const made = makeExample(schema, random)
        if (time === TRIES || isValid(made)) return made
      }
    },
    vary(data, path, used = new Set()) {
      const before = valueAt(data, path)
      const isNew = (value: unknown): boolean =>
        value !== undefined &&
        JSON.stringify(value) !== JSON.stringify(before) &&
        !used.has(JSON.stringify(value))
      for (const value of otherValues(before, random)) {
        const changed = isNew(value) ? put(data, path, value) : undefined
        if (changed !== undefined) return changed
      }
      for (let time = 0; time < TRIES; time++) {
        const value = valueAt(makeExample(schema, random), path)
        const changed = isNew(value) ? put(data, path, value) : undefined
        if (changed !== undefined) return changed
      }
      return undefined
    },
  }
}

function refuseInvalid(validator: Validator, given: unknown, what: string): void {
  const verdict = validator.validate(given)
  if (verdict.ok) return
  const [first] = verdict.errors
  throw new JuncturaError('JUNCTURA_USAGE', {
    details: {
      problem: `The example given for ${what} is not valid: ${first?.pointer ?? ''} ${first?.message ?? ''}`,
      fix: 'Give data that the contract accepts.',
    },
  })
}

/** Values that are as good as this one, where the schema allows them. */
function otherValues(value: unknown, random: Random): readonly unknown[] {
  const ending = toHex(random.bytes(3))
  if (typeof value === 'string') {
    // Of the same length too, for ids of a fixed form.
    const same = value.replace(/[0-9a-f](?=[^0-9a-f]*$)/, ending.slice(0, 1))
    return [`${value}-${ending}`, same, `${value.slice(0, -1)}${ending.slice(-1)}`]
  }
  if (typeof value === 'number') {
    const step = 1 + Math.floor(random.next() * 1_000)
    return [value + step, value - step, value + 1, value - 1]
  }
  return typeof value === 'boolean' ? [!value] : []
}

/** A copy with a value put in; undefined when the way there leads through no object. */
function withValue(data: unknown, steps: readonly string[], value: unknown): unknown {
  const [step, ...rest] = steps
  if (step === undefined) return value
  if (typeof data !== 'object' || data === null || Array.isArray(data)) return undefined
  const inner = Object.hasOwn(data, step) ? Reflect.get(data, step) : {}
  const changed = withValue(inner, rest, value)
  if (changed === undefined) return undefined
  return Object.fromEntries([
    ...Object.entries(data).filter(([name]) => name !== step),
    [step, changed],
  ])
}

/** Dotted paths to every scalar outside of arrays. */
export const scalarPaths = (data: unknown, prefix = ''): readonly string[] => {
  if (typeof data !== 'object' || data === null) return prefix === '' ? [] : [prefix]
  if (Array.isArray(data)) return []
  return Object.entries(data).flatMap(([name, value]) =>
    name.includes('.') ? [] : scalarPaths(value, prefix === '' ? name : `${prefix}.${name}`),
  )
}

/** The values at paths as one text, to compare. */
export const valuesAt = (data: unknown, paths: readonly string[]): string =>
  JSON.stringify(paths.map((path) => valueAt(data, path)))

export interface KeyedData {
  /** In the order in which they are to be published. */
  readonly data: unknown
  /** Which key it has, counted from 0. */
  readonly key: number
}

/**
 * Data of several keys, several of each; in turns, so that the keys interleave. Fewer than asked
 * for where the contract allows no more: it has no key, or its facts cannot differ within one key.
 */
export const makeKeyedData = (
  contract: AnyContract,
  maker: DataMaker,
  wanted: { readonly from: unknown; readonly keys: number; readonly perKey: number },
): readonly KeyedData[] => {
  const firsts = otherKeys(contract, maker, wanted)
  // Without a key each message is for itself.
  const perKey = contract.key.length === 0 ? 1 : wanted.perKey
  const facts = new Set<string>()
  const made: KeyedData[] = []
  for (let turn = 0; turn < perKey; turn++) {
    for (const [key, first] of firsts.entries()) {
      const data = withNewFact(contract, maker, { data: first, facts })
      if (data !== undefined) made.push({ data, key })
    }
  }
  return made
}

/** The data, and more of it with other keys. */
function otherKeys(
  { key }: AnyContract,
  maker: DataMaker,
  wanted: { readonly from: unknown; readonly keys: number },
): readonly unknown[] {
  const { from, keys } = wanted
  if (key.length === 0) return Array.from({ length: keys }, () => from)
  const made = [from]
  for (const path of key) {
    const used = new Set([JSON.stringify(valueAt(from, path))])
    while (made.length < keys) {
      const next = maker.vary(from, path, used)
      if (next === undefined) break
      used.add(JSON.stringify(valueAt(next, path)))
      made.push(next)
    }
  }
  return made
}

/** The data as a fact that was not told yet; undefined where its key leaves no other. */
function withNewFact(
  { key, fact }: AnyContract,
  maker: DataMaker,
  { data, facts }: { readonly data: unknown; readonly facts: Set<string> },
): unknown {
  if (!fact) return data
  const isNew = (one: unknown): boolean => {
    const text = valuesAt(one, fact.paths)
    return !facts.has(text) && facts.add(text).has(text)
  }
  if (isNew(data)) return data
  for (const path of fact.paths.filter((one) => !key.includes(one))) {
    const tried = new Set<string>()
    for (;;) {
      const other = maker.vary(data, path, tried)
      if (other === undefined) break
      if (isNew(other)) return other
      tried.add(JSON.stringify(valueAt(other, path)))
    }
  }
  return undefined
}
