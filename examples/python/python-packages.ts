import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fetchOnce, runFetch } from '../../test/engines/fetch-once.ts'

/** The folder of the packages that the Python examples need; pip brings them, once. */
export const fetchPythonPackages = (): Promise<string> => {
  const file = join(import.meta.dirname, 'requirements.txt')
  const name = createHash('sha256').update(readFileSync(file)).digest('hex').slice(0, 12)
  return fetchOnce(`python-${name}`, async (folder) => {
    await runFetch({
      file: 'python3',
      args: ['-m', 'pip', 'install', '--quiet', '--target', folder, '--requirement', file],
      cwd: folder,
      what: 'the packages of examples/python/requirements.txt',
      fix: 'install python3 and pip (on Debian: apt-get install python3-pip)',
    })
  })
}
