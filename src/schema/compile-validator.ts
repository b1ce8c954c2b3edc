import { Ajv2020, Name, _, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'
import { type JsonSchema, declarationError, toJsonSchema } from '../contract/index.ts'
import { LIMITS, isJuncturaError, messageOf } from '../kernel/index.ts'
import { type FieldError, toFieldErrors } from './field-error.ts'
import { canonicalJson } from './canonical-json.ts'
import { GUARD, guardSchema } from './guard-schema.ts'
import { type LinearPattern, linearPattern } from './linear-pattern.ts'

export type Validation =
  | { readonly ok: true }
  | { readonly ok: false; readonly errors: readonly FieldError[] }

export interface Validator {
  /** The frozen schema it was made of. */
  readonly schema: JsonSchema | boolean
  /**
   * Whether the value fits, and if not, every field at fault (at most `LIMITS.problemErrorsMax`).
   * Takes a value of `parseJson`; changes nothing in it, fills in no default, converts no type.
   */
  validate(value: unknown): Validation
}

/**
 * Compiles a JSON Schema of draft 2020-12 to a validator. Once per contract version, at start:
 * nothing is compiled later, under load.
 *
 * A good value costs one pass that stops at the first fault. Only a bad one is validated again for
 * all its faults. Both passes are bounded: patterns match in linear time, `uniqueItems` is linear,
 * a `$ref` is counted (LIMITS.validateStepsMax), the second pass stops once it has enough errors.
 * A `$ref` stays inside the schema; nothing is ever fetched. Formats are asserted; unknown keywords
 * and unknown formats are annotations.
 *
 * @param field What the schema belongs to, for the error.
 * @throws JUNCTURA_DECLARATION when it is no schema of draft 2020-12, leads outside itself, has a
 * pattern that cannot be matched in linear time, or is too large or too deep.
 */
export const compileValidator = (input: JsonSchema | boolean, field: string): Validator => {
  const known = typeof input === 'boolean' ? undefined : COMPILED.get(input)
  if (known) return known
  const validator = compile(input, field)
  // The border and the consumers ask for the same schemas, and a test starts many times.
  if (typeof input !== 'boolean' && Object.isFrozen(input)) COMPILED.set(input, validator)
  return validator
}

/** By frozen schema: what was compiled once stays right. */
const COMPILED = new WeakMap<JsonSchema, Validator>()

const compile = (input: JsonSchema | boolean, field: string): Validator => {
  const schema = typeof input === 'boolean' ? input : toJsonSchema(input, field)
  checkAgainstMetaSchema(schema, field)
  const patterns = new Map<string, LinearPattern>()
  const first = compilePass(schema, { field, patterns, allErrors: false })
  const all = compilePass(schema, { field, patterns, allErrors: true })
  return {
    schema,
    validate(value) {
      const quick = first(value)
      if (quick.ok) return quick
      const thorough = all(value)
      // The second pass can run out of steps where the first did not; the first fault still stands.
      return thorough.ok || thorough.errors.length === 0 ? quick : thorough
    },
  }
}

interface PassOptions {
  readonly field: string
  readonly patterns: Map<string, LinearPattern>
  readonly allErrors: boolean
}

type Pass = (value: unknown) => Validation

/** Thrown out of the compiled code when a pass must end: with the errors so far. */
class PassEnd extends Error {
  readonly errors: readonly ErrorObject[] | undefined

  constructor(errors?: readonly ErrorObject[]) {
    super('validation ended early')
    this.errors = errors
  }
}

function compilePass(schema: JsonSchema | boolean, options: PassOptions): Pass {
  let steps = 0
  const guard = (errorCount: number, errors: readonly ErrorObject[] | null): void => {
    if (++steps > LIMITS.validateStepsMax) throw new PassEnd()
    if (errorCount >= LIMITS.problemErrorsMax * 2 && errors) throw new PassEnd(errors)
  }
  const run = compileWithAjv(schema, options, guard)
  return (value) => {
    steps = 0
    try {
      return run(value) ? OK : { ok: false, errors: toFieldErrors(run.errors ?? []) }
    } catch (thrown) {
      // A RangeError is the stack: a $ref that leads back to itself without going into the value.
      if (!(thrown instanceof PassEnd) && !(thrown instanceof RangeError)) throw thrown
      const errors = thrown instanceof PassEnd ? thrown.errors : undefined
      if (errors) return { ok: false, errors: toFieldErrors(errors) }
      return { ok: false, errors: options.allErrors ? [] : [TOO_MUCH_WORK] }
    }
  }
}

const OK: Validation = { ok: true }
const TOO_MUCH_WORK: FieldError = {
  pointer: '',
  keyword: '$ref',
  message: 'The document takes too many steps to validate.',
}

function compileWithAjv(
  schema: JsonSchema | boolean,
  { field, patterns, allErrors }: PassOptions,
  guard: (errorCount: number, errors: readonly ErrorObject[] | null) => void,
): ValidateFunction {
  const shared = (pattern: string): LinearPattern => {
    const known = patterns.get(pattern) ?? linearPattern(pattern, field)
    patterns.set(pattern, known)
    return known
  }
  // One instance per pass: an instance that compiles many schemas never lets go of them.
  const ajv = new Ajv2020({
    allErrors,
    strict: false,
    validateSchema: false,
    logger: false,
    messages: false,
    ownProperties: namesInherited(schema),
    code: { regExp: Object.assign(shared, { code: 'linearPattern' }) },
  })
  formats.default(ajv)
  ajv.removeKeyword('uniqueItems')
  ajv.addKeyword({
    keyword: 'uniqueItems',
    type: 'array',
    schemaType: 'boolean',
    validate: (wanted: boolean, items: readonly unknown[]) =>
      !wanted || new Set(items.map(canonicalJson)).size === items.length,
  })
  ajv.addKeyword({
    keyword: GUARD,
    before: '$ref',
    code: ({ gen }) => {
      const call = gen.scopeValue('func', { ref: guard })
      gen.code(_`${call}(${new Name('errors')}, ${new Name('vErrors')})`)
    },
  })
  try {
    return ajv.compile(guardSchema(schema, { field, everywhere: allErrors }))
  } catch (cause) {
    if (isJuncturaError(cause)) throw cause
    throw declarationError(field, `the schema cannot be compiled (${messageOf(cause)})`, FIX)
  }
}

const FIX = 'write it in draft 2020-12 with every $ref inside the schema; nothing is fetched'

const INHERITED = Object.getOwnPropertyNames(Object.prototype)

/**
 * Looking only at own members costs time, so only where a schema names one that objects inherit.
 */
function namesInherited(schema: JsonSchema | boolean): boolean {
  const text = JSON.stringify(schema)
  return INHERITED.some((name) => text.includes(JSON.stringify(name)))
}

let metaValidator: Ajv2020 | undefined

/** The instance for meta-validation is shared: it reads schemas as data and keeps none. */
function checkAgainstMetaSchema(schema: JsonSchema | boolean, field: string): void {
  metaValidator ??= new Ajv2020({ strict: false, logger: false })
  if (metaValidator.validateSchema(schema) === true) return
  const [error] = metaValidator.errors ?? []
  throw declarationError(
    `${field} at "${error?.instancePath ?? ''}"`,
    `this is no JSON Schema: it ${error?.message ?? 'is not valid'}`,
    FIX,
  )
}
