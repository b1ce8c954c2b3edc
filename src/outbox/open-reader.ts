import type { OutboxSource } from '../contract/index.ts'
import type { Kernel } from '../kernel/index.ts'
import { resolveSecretText } from '../security/index.ts'
import type { OutboxCursor } from './cursor.ts'
import type { OutboxReader } from './outbox-reader.ts'
import { openPostgresReader } from './postgres-reader.ts'
import { openSqliteReader } from './sqlite-reader.ts'

/**
 * Opens the database of an outbox. Its secret is read each time, so that a rotated one is taken up
 * without a restart.
 *
 * @throws JUNCTURA_SECRET_MISSING, JUNCTURA_PEER_MISSING, JUNCTURA_OUTBOX_REFUSED, and the client's
 *   own errors.
 */
export const openReader = async (
  source: OutboxSource,
  kernel: Kernel,
  cursor: OutboxCursor,
): Promise<OutboxReader> => {
  const { name, database, schema } = source
  if ('file' in database) return openSqliteReader({ name, file: database.file }, cursor)
  const url = await resolveSecretText(kernel, database.url)
  return openPostgresReader({ name, url, schema, clock: kernel.clock }, cursor)
}
