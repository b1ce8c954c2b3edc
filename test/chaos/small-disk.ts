// Disks of a test's own: each is mounted in a namespace of its own, which ends with the process.
import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'

/** Without rights first; in a container that forbids it, root may still do it. */
const WAYS: readonly (readonly string[])[] = [
  ['unshare', '-Urm'],
  ['unshare', '-m'],
]

/** With the ballast gone there is room for whatever a fast machine takes in a few seconds. */
const DISK = '160m'
const BALLAST_BYTES = 152 * 1_048_576

const SMALL = `mount -t tmpfs -o size=${DISK} tmpfs "$1" &&
  head -c ${BALLAST_BYTES} /dev/zero > "$1/ballast" && shift && exec "$@"`

const READ_ONLY = `mount -t tmpfs tmpfs "$1" && cp -R "$2"/. "$1" &&
  mount -o remount,ro "$1" && shift 2 && exec "$@"`

/** The wrapper that gives the runtime a small disk with little room, taken by `ballast`. */
export const smallDisk = (mountPoint: string): readonly string[] => [
  ...wayIn(mountPoint),
  'sh',
  '-c',
  SMALL,
  'sh',
  mountPoint,
]

/** The wrapper that gives the runtime a read-only disk with a copy of these files. */
export const readOnlyDisk = (mountPoint: string, content: string): readonly string[] => {
  mkdirSync(mountPoint, { recursive: true })
  return [...wayIn(mountPoint), 'sh', '-c', READ_ONLY, 'sh', mountPoint, content]
}

function wayIn(mountPoint: string): readonly string[] {
  const way = WAYS.find(([program = '', ...args]) => {
    const mount = ['mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', mountPoint]
    return spawnSync(program, [...args, ...mount]).status === 0
  })
  if (way) return way
  throw new Error('this attack mounts a disk: it needs `unshare` and the right to mount')
}
