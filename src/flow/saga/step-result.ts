import { Declined } from '../../contract/index.ts'
import { isJuncturaError, JuncturaError } from '../../kernel/index.ts'
import type { LiveStep, StepResult } from './execution.ts'
import { copyOf, type SagaEntry } from './saga-run.ts'

/** What a step gives; also what a part of a composite gives to whoever waits for that. */
export function resultOf(live: LiveStep): StepResult {
  const { entry, parts } = live
  if (live.read) return live.read(entry)
  if (entry.state === 'declined') return { ok: false, error: declinedError(entry) }
  if (entry.kind === 'first' && parts) {
    const tag = String(entry.output)
    const part = parts.get(tag)
    const result = part && resultOf(part)
    return result?.ok === false ? result : { ok: true, value: { tag, value: result?.value } }
  }
  if (entry.kind === 'gather' && parts) {
    return {
      ok: true,
      value: Object.fromEntries([...parts].map(([tag, part]) => [tag, gathered(entry, tag, part)])),
    }
  }
  return { ok: true, value: copyOf(entry.output) }
}

function gathered(gather: SagaEntry, tag: string, part: LiveStep): unknown {
  const states = new Map(Object.entries(Object(gather.output)))
  if (states.get(tag) === 'missing') return { status: 'missing' }
  const { state, error, output } = part.entry
  if (state === 'declined') return { status: 'declined', error, data: copyOf(output) }
  return { status: 'done', value: copyOf(output) }
}

/** A declared error, as an exception in the function. */
const declinedError = ({ step, error, output }: SagaEntry): JuncturaError =>
  new JuncturaError('JUNCTURA_SAGA_DECLINED', {
    details: { step, error, data: copyOf(output) },
    cause: new Declined(error ?? '', copyOf(output)),
  })

/** Why a saga is taken back, or undefined when its function has a fault. */
export function causeOf(
  error: unknown,
): { kind: 'declined' | 'failed'; reason: string; step?: string } | undefined {
  let one: unknown = error
  for (let depth = 0; depth < 8 && one !== undefined; depth++) {
    if (isJuncturaError(one, 'JUNCTURA_SAGA_FAILED')) {
      return { kind: 'failed', reason: String(one.details['reason']) }
    }
    if (isJuncturaError(one, 'JUNCTURA_SAGA_DECLINED')) {
      const { step, error: name } = one.details
      return { kind: 'declined', reason: `${String(step)}: ${String(name)}`, step: String(step) }
    }
    one = one instanceof Error ? one.cause : undefined
  }
  return undefined
}
