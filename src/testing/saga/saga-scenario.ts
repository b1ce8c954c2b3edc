import {
  type AnySaga,
  type Consumer,
  type Draft,
  type Integration,
  integration,
  isCommand,
  type Part,
  type SqlMigration,
} from '../../contract/index.ts'
import type { Stub } from './stub-desk.ts'

/** What a test does to a saga from outside, in order. */
export type ScenarioStep =
  | {
      readonly kind: 'publish'
      readonly draft: Draft
      /** Waits so long first. */
      readonly afterMs?: number
    }
  | { readonly kind: 'advance'; readonly ms: number }

/** A saga, the other systems, and what happens. */
export interface SagaScenario {
  readonly saga: AnySaga
  readonly seed: number
  readonly parts: readonly Part[]
  readonly tables: readonly SqlMigration[]
  readonly stubs: readonly Stub[]
  readonly steps: readonly ScenarioStep[]
}

export interface EffectRun {
  readonly step: string
  readonly idempotencyKey: string
}

/** Every command of `uses` has somebody who answers it: a handler of `parts`, or a stub. */
export const stubsOf = ({ saga, parts, stubs }: SagaScenario): readonly Stub[] => {
  const handled = new Set(parts.flatMap((part) => ('on' in part ? [part.on.name] : [])))
  const given = new Set(stubs.map(({ command }) => command.name))
  const silent = saga.uses.flatMap((used): readonly Stub[] => {
    if (used.part !== 'contract' || !isCommand(used)) return []
    if (handled.has(used.name) || given.has(used.name)) return []
    return [{ command: used, answer: null, isGiven: used.answers.output === undefined }]
  })
  return [...stubs, ...silent]
}

/** The integration that is run; `onEffect` is told of each run of an effect of `s.run`. */
export const integrationOf = (
  { saga, parts, tables }: SagaScenario,
  stubs: readonly Consumer[],
  onEffect: (effect: EffectRun) => void,
): Integration =>
  integration('saga-test', {
    parts: [watched(saga, onEffect), ...stubs, ...parts],
    tables,
  })

function watched(saga: AnySaga, onEffect: (effect: EffectRun) => void): AnySaga {
  const run: AnySaga['run'] = (s, input) =>
    saga.run(
      {
        ...s,
        run: (name, effect, options) =>
          s.run(
            name,
            (context) => {
              const { idempotencyKey } = context
              onEffect({ step: idempotencyKey.replace(/^run_\w+\./, ''), idempotencyKey })
              return effect(context)
            },
            options,
          ),
      },
      input,
    )
  return Object.freeze({ ...saga, run })
}
