/**
 * Text as it stands in a column that is compared. Node 22 ends a text at its first NUL when it
 * reads one, so NUL is written as two other characters, in a way that keeps the order of texts.
 */
export const toColumnText = (text: string): string =>
  SPECIAL.test(text) ? text.replace(ALL_SPECIAL, (found) => (found === '\0' ? NUL : ESCAPE)) : text

export const fromColumnText = (text: string): string =>
  text.includes('\u0001')
    ? text.replace(ALL_ESCAPED, (found) => (found === NUL ? '\0' : '\u0001'))
    : text

export const toColumn = (value: string | number | null): string | number | null =>
  typeof value === 'string' ? toColumnText(value) : value

const NUL = '\u0001\u0001'
const ESCAPE = '\u0001\u0002'
// oxlint-disable-next-line no-control-regex -- control characters are what this is about
const SPECIAL = /[\0\u0001]/
// oxlint-disable-next-line no-control-regex
const ALL_SPECIAL = /[\0\u0001]/g
// oxlint-disable-next-line no-control-regex
const ALL_ESCAPED = /\u0001[\u0001\u0002]/g
