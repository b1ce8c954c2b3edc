import { createRequire } from 'node:module'
import { accessSync, constants, existsSync, statfsSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { formatDuration } from '../kernel/index.ts'
import type { CliIo } from './cli-io.ts'
import { type Check, fail, ok, warn } from './doctor-check.ts'
import { formatTime } from './human-time.ts'
import { isNodeNewEnough, NODE_NEEDED } from './node-version.ts'
import { probePort } from './probe-listener.ts'

export const checkNode = (version: string): Check => {
  if (isNodeNewEnough(version)) return ok('node', `Node ${version}`)
  const fix = 'Bring a newer one into the project: npm i junctura node@24'
  return fail('node', `Node ${version} is older than ${NODE_NEEDED.join('.')}`, fix)
}

const MIB = 1_048_576
const SPACE_LOW_MIB = 1_024
const SPACE_NONE_MIB = 128

/** Whether this user may write there, and how much fits. */
export const checkDirectory = (directory: string): readonly Check[] => {
  const existing = nearestExisting(directory)
  try {
    accessSync(existing, constants.W_OK)
  } catch {
    return [fail('data', `${existing} cannot be written to`, 'Give this user the right to it.')]
  }
  if (!statSync(existing).isDirectory()) {
    return [fail('data', `${existing} is a file`, 'Name a folder with --data.')]
  }
  const text =
    existing === directory ? `${directory} can be written to` : `${directory} can be made`
  return [ok('data', text), checkSpace(existing)]
}

function checkSpace(directory: string): Check {
  const { bavail, bsize } = statfsSync(directory)
  const freeMib = Math.floor((bavail * bsize) / MIB)
  const text = `${freeMib} MiB free in ${directory}`
  const fix = 'Free disk space, or keep messages for a shorter time (`retention` of contracts).'
  if (freeMib < SPACE_NONE_MIB) return fail('disk', text, fix)
  return freeMib < SPACE_LOW_MIB ? warn('disk', text, fix) : ok('disk', text)
}

function nearestExisting(directory: string): string {
  let at = directory
  while (!existsSync(at) && dirname(at) !== at) at = dirname(at)
  return at
}

/** Before this nobody ran it, and after this nobody will: a clock out there was never set. */
const CLOCK_FROM_MS = Date.UTC(2025, 0, 1)
const CLOCK_TO_MS = Date.UTC(2100, 0, 1)
/** Clocks of one fleet differ by so much; more refuses genuine webhooks. */
const CLOCK_SKEW_MS = 60_000

/** Signed timestamps are refused by a clock that is wrong, so it is worth a look. */
export const checkClock = (nowMs: number, directory: string): Check => {
  const fix = 'Set the clock of this machine, and keep it set with NTP.'
  if (nowMs < CLOCK_FROM_MS || nowMs > CLOCK_TO_MS) {
    return fail('clock', `it is ${formatTime(nowMs)} here`, fix)
  }
  const file = join(directory, 'junctura.db')
  const writtenMs = existsSync(file) ? statSync(file).mtimeMs : nowMs
  if (writtenMs > nowMs + CLOCK_SKEW_MS) {
    const text = `the store was written ${formatDuration(writtenMs - nowMs)} in the future`
    return warn('clock', text, fix)
  }
  return ok('clock', formatTime(nowMs))
}

/** Free, or taken by the very thing that should be there. */
export const checkPort = async (
  io: Pick<CliIo, 'dial'>,
  port: { readonly name: string; readonly option: string; readonly number: number; host: string },
): Promise<Check> => {
  const problem = await probePort(port.number, port.host)
  if (problem === undefined) return ok(port.name, `port ${port.number} is free`)
  if (problem === 'EADDRINUSE' && (await answersHealth(io, port.number))) {
    return ok(port.name, `port ${port.number}: an integration runs there`)
  }
  const text = `port ${port.number} of ${port.host} cannot be used: ${problem}`
  return fail(port.name, text, `Stop what listens there, or choose another: ${port.option} PORT`)
}

async function answersHealth(io: Pick<CliIo, 'dial'>, port: number): Promise<boolean> {
  try {
    const reply = await io.dial({ method: 'GET', url: `http://127.0.0.1:${port}/healthz` })
    const text = await reply.text()
    // The public listener answers with problem documents of ours.
    return /"status":"alive"|"code":"JUNCTURA_/.test(text)
  } catch {
    // Whatever listens there does not speak HTTP.
    return false
  }
}

/** Whether a package that is needed for one feature only is there. */
export const checkPeer = (
  cwd: string,
  peer: { readonly name: string; readonly feature: string; readonly needed: boolean },
): Check => {
  const name = `peer ${peer.name}`
  try {
    createRequire(join(cwd, 'package.json')).resolve(peer.name)
    return ok(name, `is installed, for ${peer.feature}`)
  } catch {
    if (!peer.needed) return ok(name, `is not installed; it is for ${peer.feature} only`)
    return fail(name, `is not installed, and ${peer.feature} needs it`, `npm i ${peer.name}`)
  }
}
