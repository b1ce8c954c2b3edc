/** Stands on top of every generated page. */
export const GENERATED =
  '<!-- Made by `node tools/docs.ts` from the code; `--check` fails when it differs. -->'

/** Text inside a table: a bar would end the cell, a line break the row. */
export const tableCell = (text: string): string =>
  text.replaceAll('|', '\\|').replace(/\s*\n\s*/g, ' ')

/** Fault and promise numbers are for who reads the code; a page says the thing itself. */
export const withoutNumbers = (text: string): string =>
  text
    .replace(/\s*\((?:[FMW]\d+)(?:, ?[FMW]\d+)*\)/g, '')
    .replace(/, [FMW]\d+(?=\))/g, '')
    .replace(/\((?:[FMW]\d+), /g, '(')
