/** True only when both are the same type, `any` and `unknown` included. */
export type Equal<A, B> =
  // Two functions are the same only if their conditions are, which compares A and B exactly.
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false

/** Compiles only for true. */
export type Expect<T extends true> = T

/** The same as a statement: `holds<Equal<A, B>>()`. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters
export const holds = <T extends true>(_proof?: Expect<T>): void => undefined
