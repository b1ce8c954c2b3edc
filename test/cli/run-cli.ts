// Runs the command from its sources, as the package's bin does from the build.
import { main } from '../../src/cli/index.ts'

process.exitCode = await main(process.argv.slice(2))
