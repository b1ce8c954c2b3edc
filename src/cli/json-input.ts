import { resolve } from 'node:path'
import { decodeUtf8, JuncturaError, messageOf } from '../kernel/index.ts'
import type { CliIo } from './cli-io.ts'

export interface DataOptions {
  /** JSON on the command line. */
  readonly data?: string
  /** A file, or `-` for stdin. */
  readonly file?: string
}

/** The bytes that were given, or undefined when none were. */
export const readGivenBytes = async (
  io: Pick<CliIo, 'cwd' | 'kernel' | 'stdin'>,
  options: DataOptions,
): Promise<Uint8Array | undefined> => {
  if (options.data !== undefined && options.file !== undefined) {
    throw usage('--data and --file were both given', 'give one of them')
  }
  if (options.data !== undefined) return Buffer.from(options.data)
  if (options.file === '-') return io.stdin.readAll()
  return options.file === undefined
    ? undefined
    : io.kernel.files.read(resolve(io.cwd, options.file))
}

/** @throws JUNCTURA_USAGE when the bytes are no JSON. */
export const parseGiven = (bytes: Uint8Array): unknown => {
  const text = decodeUtf8(bytes)
  if (text === undefined) throw usage('the data is no UTF-8 text', 'save it as UTF-8')
  try {
    const value: unknown = JSON.parse(text)
    return value
  } catch (cause) {
    throw usage(`the data is no JSON (${messageOf(cause)})`, 'write {"name": "value"}')
  }
}

/**
 * A copy with values put in at dotted paths: `customer.email=a@b.example`, `total=12`. A value is
 * read as JSON where it is JSON, else it is text; `name:=text` is always text. `{n}` becomes the
 * running number of the message.
 *
 * @throws JUNCTURA_USAGE when an assignment has no path or leads through a value without members.
 */
export const applySettings = (data: unknown, settings: readonly string[], n: number): unknown => {
  if (settings.length === 0) return data
  const copy: unknown = structuredClone(data)
  for (const setting of settings) {
    const match = /^([^=:]+)(:?=)(.*)$/s.exec(setting)
    if (!match) throw usage(`--set ${setting}: it sets nothing`, 'write --set customer.email=a@b.c')
    const [, path = '', sign, written = ''] = match
    const text = written.replaceAll('{n}', String(n))
    setAt(copy, path, sign === ':=' ? text : readValue(text))
  }
  return copy
}

function readValue(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text)
    return value
  } catch {
    // Not JSON, so it is meant as text.
    return text
  }
}

function setAt(root: unknown, path: string, value: unknown): void {
  const steps = path.split('.')
  const last = steps.pop() ?? ''
  let at: unknown = root
  for (const step of steps) {
    const next: unknown =
      isObject(at) && Object.hasOwn(at, step) ? Reflect.get(at, step) : undefined
    if (next === undefined && isObject(at)) define(at, step, {})
    at = isObject(at) ? Reflect.get(at, step) : undefined
  }
  if (!isObject(at)) throw usage(`--set ${path}: the way there is no object`, 'check the path')
  define(at, last, value)
}

/** Also for a name like `__proto__`: always a member of its own. */
const define = (target: object, name: string, value: unknown): void =>
  void Object.defineProperty(target, name, {
    value,
    enumerable: true,
    writable: true,
    configurable: true,
  })

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null

const usage = (problem: string, fix: string): JuncturaError =>
  new JuncturaError('JUNCTURA_USAGE', { details: { problem, fix } })
