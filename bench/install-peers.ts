import { execFileSync } from 'node:child_process'
import { statSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { script } from './harness.ts'

/** They stay out of the product's own install. */
export function installPeers(): void {
  const folder = script('peers')
  const wanted = statSync(script('peers', 'package-lock.json'))
  const present = statSync(join(folder, 'node_modules', '.package-lock.json'), {
    throwIfNoEntry: false,
  })
  if (present && present.mtimeMs >= wanted.mtimeMs) return
  console.log('installing what is measured against: npm ci in bench/peers …')
  // By the Node that runs this: npm chooses versions by the Node that runs it.
  const path = `${dirname(process.execPath)}${delimiter}${process.env['PATH'] ?? ''}`
  const env = { ...process.env, PATH: path }
  execFileSync('npm', ['ci', '--ignore-scripts'], { cwd: folder, env, stdio: 'inherit' })
}
