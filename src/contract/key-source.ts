/** Where a key is read from, as data, so that the Model can say it. */
export type KeySource =
  | { readonly from: 'header'; readonly name: string }
  | { readonly from: 'body'; readonly paths: readonly string[] }
  /** What a CloudEvent says of itself: its `source` and `id`, or its version. */
  | { readonly from: 'event' }

/** The value of one request header. */
export const header = (name: string): KeySource => ({ from: 'header', name: name.toLowerCase() })

/** Values in the body; several together make one key. */
export const body = (...paths: readonly string[]): KeySource => ({ from: 'body', paths })

/** The value at a dotted path, or undefined. */
export const valueAt = (data: unknown, path: string): unknown => {
  if (!path.includes('.')) return memberOf(data, path)
  let current: unknown = data
  for (const step of path.split('.')) current = memberOf(current, step)
  return current
}

function memberOf(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined
  return Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined
}

/** Dotted paths to the scalars of a payload, three levels deep; `string` when it is not known. */
export type PathOf<T> = unknown extends T ? string : Paths<T, 3>

type Paths<T, Depth extends number> = Depth extends 0
  ? never
  : T extends readonly unknown[]
    ? never
    : T extends object
      ? // An open object may have any member.
        string extends keyof T
        ? string
        : {
            [K in keyof T & string]: unknown extends T[K]
              ? K | `${K}.${string}`
              : NonNullable<T[K]> extends Scalar
                ? K
                : `${K}.${Paths<NonNullable<T[K]>, Less[Depth]>}`
          }[keyof T & string]
      : never

type Scalar = string | number | bigint | boolean | null
type Less = [0, 0, 1, 2]
