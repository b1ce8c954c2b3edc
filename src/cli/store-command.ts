import type { Command } from 'commander'
import type { CommandContext } from './command-context.ts'
import { EXIT } from './exit-codes.ts'

/** Adds `store sql`: what a database administrator wants to read, or to run, before a start. */
export const addStoreCommand = (program: Command, { io, finish }: CommandContext): void => {
  const store = program.command('store').description('What the store keeps, and where.')
  store
    .command('sql')
    .description('Prints the SQL that the first start would run in an empty PostgreSQL database.')
    .option('--schema <name>', 'that holds everything of Junctura', 'junctura')
    .action(async ({ schema }: { readonly schema: string }) => {
      const { postgresStoreSql } = await import('../store/index.ts')
      io.stdout.write(postgresStoreSql(schema))
      finish(EXIT.ok)
    })
}
