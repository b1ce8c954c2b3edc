import { spawnSync } from 'node:child_process'

/** A program that an attack needs; without it the attack fails, it is not left out. */
export const needProgram = (program: string, debianPackage: string): string => {
  const found = spawnSync('sh', ['-c', `command -v ${program}`])
  if (found.status === 0) return program
  throw new Error(
    `this attack needs ${program}: install the package ${debianPackage}` +
      ' (as root on a Debian, `npm test` does)',
  )
}
