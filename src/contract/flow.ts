import type { AnyContract } from './contract.ts'
import { checkName, declarationError } from './declaration-error.ts'
import type { Expectation } from './expectation.ts'
import { callerLocation, type SourceLocation } from './source-location.ts'
import type { Team } from './system.ts'
import { required } from './webhook.ts'

export interface FlowOptions {
  /** Who answers for the whole of it, whoever owns the steps. */
  readonly owner: Team
  readonly summary?: string
  /** Nobody conducts: each part reacts to what it hears. */
  readonly coordination: 'choreography'
  /** What follows what when all goes well, from the first message to the last. */
  readonly path: readonly AnyContract[]
  /** What raises the alarm where the flow stops: one for each step of the path, and others. */
  readonly expectations: readonly Expectation[]
}

/** A flow as the runtime reads it. */
export interface Flow extends FlowOptions {
  readonly part: 'flow'
  readonly name: string
  readonly at: SourceLocation
}

/**
 * Declares a choreographed flow: its owner, what follows what, and the expectations that tell when
 * it stops. Runs nothing itself; `junctura flow NAME` shows what was expected against what came.
 * Its expectations need not be listed as parts as well.
 *
 * A step of `path` without an expectation is refused at start: it would stop in silence.
 *
 * @throws JUNCTURA_DECLARATION when a field is unusable; it names the field and the fix.
 */
export const flow = (name: string, options: FlowOptions): Flow => {
  const what = `flow ${JSON.stringify(name)}`
  checkName(name, 'flow')
  const { summary, path, expectations, coordination } = options
  if (coordination !== 'choreography') {
    const fix = "write coordination: 'choreography'; what is conducted is a saga"
    throw declarationError(
      `${what}.coordination`,
      `${JSON.stringify(coordination)} is unknown`,
      fix,
    )
  }
  if (!Array.isArray(path) || path.length < 2) {
    throw declarationError(`${what}.path`, 'it has no step', 'write path: [First, Second, …]')
  }
  if (!Array.isArray(expectations) || expectations.length === 0) {
    const fix = "write expectations: [expectation('…', { after, expect, within, owner })]"
    throw declarationError(`${what}.expectations`, 'nothing tells when it stops', fix)
  }
  return Object.freeze({
    part: 'flow',
    name,
    owner: required(options.owner, `${what}.owner`, "write owner: team('…')"),
    ...(summary !== undefined && { summary }),
    coordination,
    path: Object.freeze([...path]),
    expectations: Object.freeze([...expectations]),
    at: callerLocation(),
  })
}

/** Steps of the path that no expectation of the flow watches. */
export const unwatchedSteps = ({
  path,
  expectations,
}: Pick<Flow, 'path' | 'expectations'>): readonly (readonly [AnyContract, AnyContract])[] =>
  path.slice(1).flatMap((to, index) => {
    const from = path[index]
    if (!from) return []
    const isWatched = expectations.some(({ after, expect }) => has(after, from) && has(expect, to))
    return isWatched ? [] : [[from, to] as const]
  })

const has = (list: Expectation['after'], { name }: AnyContract): boolean =>
  list.some(({ contract }) => contract.name === name)
