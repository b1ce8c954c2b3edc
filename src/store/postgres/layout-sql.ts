import { layoutSql } from './layout.ts'
import { stateSql } from './state-tables.ts'

/**
 * Everything that the first start would make in an empty database, as SQL: for whoever reviews it,
 * or may do what the runtime may not. The role of the runtime then needs `usage` and `create` on
 * the schema, since it makes the tables of the log and of keys as time goes on, and must own these
 * tables, since a later release may add to them.
 */
export const postgresStoreSql = (schema: string = 'junctura'): string =>
  `begin;\n${layoutSql(schema)}\n${stateSql(schema)}\ncommit;\n`.replaceAll(/^ {4}/gm, '')
