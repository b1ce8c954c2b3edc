/** The oldest Node that runs Junctura: TypeScript without a flag, and a whole `node:sqlite`. */
export const NODE_NEEDED: readonly [major: number, minor: number] = [22, 18]

/** Whether a version such as `24.1.0` is new enough. */
export const isNodeNewEnough = (version: string): boolean => {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return major > NODE_NEEDED[0] || (major === NODE_NEEDED[0] && minor >= NODE_NEEDED[1])
}
