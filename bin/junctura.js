#!/usr/bin/env node
// The entry of the command. Written so that an old Node can read it too: it must be able to say
// that it is too old, and how to get a newer one, instead of dying of a syntax error.
import { spawn } from 'node:child_process'
import { existsSync, readFileSync, realpathSync } from 'node:fs'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const NODE_NEEDED = [22, 18]
const EXIT_USAGE = 64
const EXIT_SOFTWARE = 70
/** Set for the second process, so that a package that lies about its version cannot loop. */
const RERUN_MARK = 'JUNCTURA_NODE_RERUN'

const here = dirname(realpathSync(fileURLToPath(import.meta.url)))

if (isNewEnough(process.versions.node)) {
  leaveWithParent()
  silenceSqliteWarning()
  runCommandLine()
} else {
  const newer = process.env[RERUN_MARK] ? undefined : findNewerNode()
  if (newer) runWith(newer)
  else refuseOldNode()
}

function isNewEnough(version) {
  const parts = String(version).split('.').map(Number)
  if (parts[0] !== NODE_NEEDED[0]) return parts[0] > NODE_NEEDED[0]
  return parts[1] >= NODE_NEEDED[1]
}

function refuseOldNode() {
  process.stderr.write(
    'JUNCTURA_NODE_VERSION: this is Node ' +
      process.versions.node +
      '; Junctura needs Node >= ' +
      NODE_NEEDED.join('.') +
      '.\n' +
      'Bring a newer one into the project, and run the same command again:\n\n' +
      '  npm i junctura node@24\n\n',
  )
  process.exitCode = EXIT_USAGE
}

/** The `node` package of the project, from the current folder upwards, then from this package. */
function findNewerNode() {
  const starts = [process.cwd(), here]
  for (let start = 0; start < starts.length; start++) {
    let folder = starts[start]
    for (;;) {
      const found = nodeIn(join(folder, 'node_modules', 'node'))
      if (found) return found
      const parent = dirname(folder)
      if (parent === folder) break
      folder = parent
    }
  }
  return undefined
}

function nodeIn(folder) {
  try {
    const version = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).version
    if (!isNewEnough(version)) return undefined
  } catch (notInstalledHere) {
    if (notInstalledHere.code === 'ENOENT') return undefined
    throw notInstalledHere
  }
  const program = join(folder, 'bin', process.platform === 'win32' ? 'node.exe' : 'node')
  return existsSync(program) ? program : undefined
}

/** Runs the same command with a newer Node; signals and the exit status pass through. */
function runWith(program) {
  const env = Object.assign({}, process.env)
  env[RERUN_MARK] = '1'
  const child = spawn(program, [join(here, 'junctura.js')].concat(process.argv.slice(2)), {
    env,
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
  })
  // A terminal sends Ctrl-C to both processes; passing it on would count as pressing it twice.
  const atTerminal = process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR2', 'SIGQUIT']
  const handlers = {}
  signals.forEach((signal) => {
    handlers[signal] = () => {
      if (!(signal === 'SIGINT' && atTerminal)) child.kill(signal)
    }
    process.on(signal, handlers[signal])
  })
  child.on('error', (error) => {
    process.stderr.write('junctura: cannot run ' + program + ': ' + error.message + '\n')
    process.exitCode = EXIT_SOFTWARE
  })
  child.on('exit', (code, signal) => {
    signals.forEach((name) => process.removeListener(name, handlers[name]))
    if (signal) process.exitCode = 128 + (constants.signals[signal] || 0)
    else process.exitCode = code
  })
}

/**
 * Ends the second process when the first is gone: kill -9 of the command that was started must not
 * leave a runtime behind that holds the data directory.
 */
function leaveWithParent() {
  if (!process.env[RERUN_MARK]) return
  delete process.env[RERUN_MARK]
  if (!process.channel) return
  process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'))
  process.channel.unref()
}

/** Our use of node:sqlite is deliberate and tested; every other warning still shows. */
function silenceSqliteWarning() {
  const emitWarning = process.emitWarning
  process.emitWarning = function (warning, ...rest) {
    const expected = String(warning).startsWith('SQLite is an experimental feature')
    if (!expected) emitWarning.call(process, warning, ...rest)
  }
}

function runCommandLine() {
  const main = join(here, '..', 'dist', 'cli', 'main.js')
  if (!existsSync(main)) {
    process.stderr.write(
      'junctura: ' + main + ' is missing. Run `npm run build` in ' + dirname(here) + '\n',
    )
    process.exitCode = EXIT_SOFTWARE
    return
  }
  import(pathToFileURL(main).href)
    .then((cli) => cli.main(process.argv.slice(2)))
    .then((status) => {
      process.exitCode = status
    })
    .catch((error) => {
      process.stderr.write('junctura: ' + ((error && error.stack) || error) + '\n')
      process.exitCode = EXIT_SOFTWARE
    })
}
