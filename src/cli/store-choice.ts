import { JuncturaError } from '../kernel/index.ts'
import type { StoreChoice } from '../runtime/index.ts'

/**
 * What `--store` says.
 *
 * @throws JUNCTURA_USAGE when it is no store, or a variable that it needs is unset.
 */
export const readStoreChoice = (
  text: string,
  directory: string,
  env: (name: string) => string | undefined,
): StoreChoice => {
  if (text === 'sqlite') return { engine: 'sqlite', directory }
  if (text === 'memory') return { engine: 'memory' }
  const url = text === 'postgres' ? env('DATABASE_URL') : text
  if (url !== undefined && /^postgres(?:ql)?:\/\//.test(url)) return { engine: 'postgres', url }
  throw new JuncturaError('JUNCTURA_USAGE', {
    details: {
      problem: `--store: ${text === 'postgres' ? 'DATABASE_URL is not set' : 'this is no store'}`,
      fix: 'Write sqlite, memory, postgres (with DATABASE_URL set), or postgres://HOST/NAME',
    },
  })
}
