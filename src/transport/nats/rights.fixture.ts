import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Those that the page promises to be enough, for a prefix of this file. */
export function rightsOfThePage(): string {
  const page = join(import.meta.dirname, '..', '..', '..', 'docs', 'reference', 'nats.md')
  const rights = /^permissions: (\{.*?^\})$/ms.exec(readFileSync(page, 'utf8'))?.[1] ?? '{}'
  return rights.replaceAll('junctura.>', 'least.>')
}
