import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/**
 * The folder of the JSON-Schema-Test-Suite. No npm package carries its draft 2020-12, so pip brings
 * the source archive of the Python package jsonschema, pinned by hash in requirements.txt, once, to
 * a cache under node_modules. Nothing of it is installed or run.
 */
export const fetchJsonSchemaTestSuite = (): string => {
  const cache = fileURLToPath(
    new URL('../../node_modules/.cache/junctura-suites/', import.meta.url),
  )
  const folder = `${cache}jsonschema-4.25.1/json/`
  if (existsSync(folder)) return folder

  const work = `${cache}fetch-${process.pid}/`
  mkdirSync(work, { recursive: true })
  const requirements = fileURLToPath(new URL('requirements.txt', import.meta.url))
  const download = ['-m', 'pip', 'download', '--quiet', '--no-deps', '--no-binary', 'jsonschema']
  try {
    execFileSync('python3', [...download, '--dest', work, '--requirement', requirements], {
      stdio: 'pipe',
    })
  } catch (cause) {
    // A suite that is missing fails: skipped, nobody would see that it no longer runs.
    const fix = 'install python3 and pip (on Debian: apt-get install python3-pip)'
    throw new Error(`JSON-Schema-Test-Suite could not be fetched: ${fix}`, { cause })
  }
  execFileSync('tar', ['-xzf', `${work}jsonschema-4.25.1.tar.gz`, '-C', work], { stdio: 'pipe' })
  rmSync(`${cache}jsonschema-4.25.1`, { recursive: true, force: true })
  renameSync(`${work}jsonschema-4.25.1`, `${cache}jsonschema-4.25.1`)
  rmSync(work, { recursive: true, force: true })
  return folder
}
