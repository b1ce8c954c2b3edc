import { readFileSync, readdirSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { JsonSchema } from '../../src/contract/index.ts'
import { isJuncturaError, messageOf } from '../../src/kernel/index.ts'
import { type Validator, compileValidator } from '../../src/schema/index.ts'
import { fetchJsonSchemaTestSuite } from './fetch-json-schema-test-suite.ts'

interface Group {
  readonly description: string
  readonly schema: JsonSchema | boolean
  readonly tests: readonly {
    readonly description: string
    readonly data: unknown
    readonly valid: boolean
  }[]
}

/** Refused at declaration on purpose: the sentence in the error, and why. */
const REFUSED: readonly { readonly sentence: RegExp; readonly reason: string }[] = [
  { sentence: /can't resolve reference/, reason: 'F55: a $ref never leads outside the schema' },
  { sentence: /of another draft/, reason: 'draft 2020-12 with its own vocabularies only' },
  { sentence: /\$dynamicRef/, reason: 'refused rather than misread' },
  { sentence: /beside/, reason: 'refused rather than misread' },
  { sentence: /resolves to more than one schema/, reason: 'an $id twice is refused' },
]

/** Files of which some cases ask for what we decided otherwise. */
const SKIPPED_FILES: Readonly<Record<string, string>> = {
  'format.json': 'formats are asserted here; optional/format says how',
  'optional/format/idn-email.json': 'this format is an annotation here',
  'optional/format/idn-hostname.json': 'this format is an annotation here',
  'optional/format/iri.json': 'this format is an annotation here',
  'optional/format/iri-reference.json': 'this format is an annotation here',
}

/** Single cases, by their description. */
const SKIPPED_CASES: Readonly<Record<string, string>> = {
  '__proto__ not valid': 'parseJson refuses this key before any schema is asked',
  'valid if optional overflow handling is implemented': 'optional, and numbers are doubles here',
  'when used as a pattern': 'optional: \\a is taken as in RE2',
  'a quoted string with a space in the local part is valid': 'quoted local parts are refused',
  'a quoted string with a double dot in the local part is valid': 'quoted local parts are refused',
  'a quoted string with a @ in the local part is valid': 'quoted local parts are refused',
  'an IPv4-address-literal after the @ is valid': 'address literals are refused',
  'an IPv6-address-literal after the @ is valid': 'address literals are refused',
}

describe('JSON-Schema-Test-Suite, draft 2020-12', () => {
  const root = `${fetchJsonSchemaTestSuite()}tests/draft2020-12/`
  const files = ['', 'optional/', 'optional/format/'].flatMap((sub) =>
    readdirSync(root + sub)
      .filter((name) => name.endsWith('.json'))
      .map((name) => sub + name),
  )
  const tally = { passed: 0, skipped: new Map<string, number>() }
  const skip = (reason: string, count: number): void => {
    tally.skipped.set(reason, (tally.skipped.get(reason) ?? 0) + count)
  }

  test.each(files)('%s', (file) => {
    const groups = JSON.parse(readFileSync(root + file, 'utf8')) as readonly Group[]
    expect(groups.length).toBeGreaterThan(0)
    for (const group of groups) {
      const compiled = compile(group.schema)
      if (typeof compiled === 'string') {
        skip(compiled, group.tests.length)
        continue
      }
      for (const { description, data, valid } of group.tests) {
        const reason = SKIPPED_CASES[description] ?? SKIPPED_FILES[file]
        const verdict = compiled.validate(data)
        if (reason !== undefined && verdict.ok !== valid) {
          skip(reason, 1)
          continue
        }
        expect(verdict.ok, `${group.description}: ${description}`).toBe(valid)
        if (!verdict.ok) expect(verdict.errors.length).toBeGreaterThan(0)
        tally.passed++
      }
    }
  })

  test('ran nearly all of it, and skipped only for these reasons', () => {
    const skipped = Object.fromEntries(tally.skipped)

    expect({ passed: tally.passed, skipped }).toMatchInlineSnapshot(`
      {
        "passed": 1711,
        "skipped": {
          "F55: a $ref never leads outside the schema": 45,
          "address literals are refused": 2,
          "an $id twice is refused": 3,
          "draft 2020-12 with its own vocabularies only": 9,
          "formats are asserted here; optional/format says how": 15,
          "optional, and numbers are doubles here": 1,
          "optional: \\a is taken as in RE2": 1,
          "parseJson refuses this key before any schema is asked": 1,
          "quoted local parts are refused": 3,
          "refused rather than misread": 73,
          "this format is an annotation here": 42,
        },
      }
    `)
  })
})

function compile(schema: JsonSchema | boolean): Validator | string {
  try {
    return compileValidator(schema, 'schema')
  } catch (error) {
    const refusal = REFUSED.find(({ sentence }) => sentence.test(messageOf(error)))
    if (isJuncturaError(error, 'JUNCTURA_DECLARATION') && refusal) return refusal.reason
    throw error
  }
}
