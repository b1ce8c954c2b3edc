import { RE2JS } from 're2js'
import { declarationError } from '../contract/index.ts'
import { LIMITS, messageOf } from '../kernel/index.ts'

/** What the validator needs of a regular expression. */
export interface LinearPattern {
  test(text: string): boolean
  /** Identity: two patterns of one text may be shared. */
  toString(): string
}

/**
 * Compiles a pattern of a schema so that matching takes time linear in the text, whatever the
 * pattern: a partner chooses the text, and a backtracking matcher can be held for minutes by forty
 * characters (F55).
 *
 * What no linear matcher can do is refused at declaration: backreferences, lookbehind, and
 * lookahead except at the start. Lookaheads right after `^`, as libraries write for e-mail
 * addresses and rules of passwords, are taken apart into several patterns that must match, or must
 * not.
 *
 * Differences from ECMA-262: `\S` inside a class is ASCII, `.` also matches U+2028 and U+2029.
 *
 * @throws JUNCTURA_DECLARATION when it cannot be expressed or passes `LIMITS.patternCharsMax`.
 */
export const linearPattern = (pattern: string, field: string): LinearPattern => {
  if (pattern.length > LIMITS.patternCharsMax) {
    throw declarationError(
      `${field} pattern`,
      `it has more than ${LIMITS.patternCharsMax} characters`,
      'use an enum or a format',
    )
  }
  try {
    const { conditions, rest } = takeLookaheads(pattern)
    const tests = conditions.map(({ body, wanted }) => ({ regex: compile(`^(?:${body})`), wanted }))
    const main = compile(rest)
    return {
      test: (text) =>
        tests.every(({ regex, wanted }) => regex.test(text) === wanted) && main.test(text),
      toString: () => `linear /${pattern}/`,
    }
  } catch (cause) {
    throw declarationError(
      `${field} pattern ${JSON.stringify(pattern)}`,
      `it cannot be matched in linear time (${messageOf(cause)})`,
      'write it without backreferences, lookbehind, and lookahead that is not right after ^',
    )
  }
}

const compile = (pattern: string): RE2JS =>
  RE2JS.compile(toEcmaMeaning(RE2JS.translateRegExp(pattern)))

/** White space of ECMA-262, and its long names of Unicode categories, in RE2's words. */
function toEcmaMeaning(pattern: string): string {
  let inClass = false
  return pattern.replaceAll(/\\[pP]\{\w+\}|\\[^]|[[\]]/g, (token) => {
    if (token === '[') inClass = true
    else if (token === ']') inClass = false
    else if (token === '\\s') return inClass ? SPACE : `[${SPACE}]`
    else if (token === '\\S' && !inClass) return `[^${SPACE}]`
    else if (token.endsWith('}'))
      return token.replace(/\w+(?=\})/, (name) => CATEGORIES[name] ?? name)
    return token
  })
}

const SPACE = String.raw`\s\v\x{a0}\x{feff}\x{2028}\x{2029}\p{Zs}`

const CATEGORIES: Readonly<Record<string, string>> = {
  Letter: 'L',
  Lowercase_Letter: 'Ll',
  Uppercase_Letter: 'Lu',
  Mark: 'M',
  Number: 'N',
  Decimal_Number: 'Nd',
  digit: 'Nd',
  Punctuation: 'P',
  punct: 'P',
  Symbol: 'S',
  Currency_Symbol: 'Sc',
  Separator: 'Z',
  Space_Separator: 'Zs',
}

interface Condition {
  readonly body: string
  readonly wanted: boolean
}

/**
 * `^(?=A)(?!B)C` is `^C` with two conditions on the same text. Only true while C has no alternative
 * at its top level, because `^` and the lookaheads belong to the first alternative alone.
 */
function takeLookaheads(pattern: string): {
  readonly conditions: readonly Condition[]
  readonly rest: string
} {
  const conditions: Condition[] = []
  let at = 1
  while (pattern.startsWith('^') && /^\(\?[=!]/.test(pattern.slice(at, at + 3))) {
    const end = endOfGroup(pattern, at)
    if (end < 0) break
    conditions.push({ body: pattern.slice(at + 3, end), wanted: pattern[at + 2] === '=' })
    at = end + 1
    if (/^[*+?{]/.test(pattern.slice(at))) return { conditions: [], rest: pattern }
  }
  const rest = pattern.slice(at)
  if (conditions.length === 0 || hasTopAlternative(rest)) return { conditions: [], rest: pattern }
  return { conditions, rest: `^${rest}` }
}

/** The offset of the bracket that closes the group which opens at `open`, or -1. */
function endOfGroup(pattern: string, open: number): number {
  let depth = 0
  for (const { character, at } of syntaxOf(pattern, open)) {
    if (character === '(') depth++
    if (character === ')') depth--
    if (depth === 0) return at
  }
  return -1
}

function hasTopAlternative(pattern: string): boolean {
  let depth = 0
  for (const { character } of syntaxOf(pattern, 0)) {
    if (character === '(') depth++
    else if (character === ')') depth--
    else if (character === '|' && depth === 0) return true
  }
  return false
}

/** The characters that are syntax: not escaped, not in a class. */
function* syntaxOf(
  pattern: string,
  from: number,
): Generator<{ readonly character: string; readonly at: number }> {
  let inClass = false
  for (let at = from; at < pattern.length; at++) {
    const character = pattern.charAt(at)
    if (character === '\\') at++
    else if (inClass) inClass = character !== ']'
    else if (character === '[') inClass = true
    else yield { character, at }
  }
}
