import { LIMITS } from '../kernel/index.ts'
import { type SagaRunView, summarizeRun } from '../runtime/index.ts'
import { SAGA_STATES } from '../store/index.ts'
import { invalidParameter } from './parameters.ts'
import { choice, found, get, given, PAGE, pageOf, position, type Route, text } from './route.ts'

/** Sagas and their runs. */
export const SAGA_ROUTES: readonly Route[] = [
  get(
    '/api/v1/sagas',
    { summary: 'Each saga: its runs that have not ended, by state.', answer: 'SagaList' },
    { handle: async ({ runtime }) => ({ items: await runtime.sagaSummaries() }) },
  ),
  get(
    '/api/v1/saga-runs',
    {
      summary: 'Runs of sagas, newest first; a page may be short and still have a `next`.',
      answer: 'SagaRunPage',
    },
    {
      parameters: [
        text('saga', 'Of this saga.'),
        choice('state', SAGA_STATES, 'In this state.'),
        text('owner', 'Of sagas of this team.'),
        text('step', 'That stand at this step: `name`, or `name#2`.'),
        position('startedBeforeMs', 'Started before, epoch milliseconds.'),
        choice('parked', ['true'], 'That hold events which nobody will take.'),
        ...PAGE,
      ],
      handle: async ({ runtime, parameters }) => {
        const state = parameters.choice('state', SAGA_STATES)
        const startedBeforeMs = parameters.integer('startedBeforeMs')
        const isParked = parameters.choice('parked', ['true']) === 'true'
        const page = await runtime.sagas({
          ...given(parameters, ['saga', 'owner', 'step']),
          ...pageOf(parameters),
          ...(state !== undefined && { state }),
          ...(startedBeforeMs !== undefined && { startedBeforeMs }),
          ...(isParked && { isParked }),
        })
        return { ...page, items: page.items.map(summarizeRun) }
      },
    },
  ),
  get(
    '/api/v1/saga-runs/{id}',
    {
      summary: 'One run of the saga named: masked journal, what it waits for, what to do.',
      answer: 'SagaRun',
    },
    {
      parameters: [text('key', 'Key of the run; required.')],
      handle: async ({ runtime, parameters, id }) => {
        const key = parameters.text('key')
        if (key === undefined) {
          throw invalidParameter('key', {
            problem: 'it is missing',
            allowed: `1 to ${LIMITS.parameterCharsMax} characters`,
            fix: 'Send key: the key of the run.',
          })
        }
        const run = found('run of a saga', await runtime.sagaRun(id, key))
        return shownOf(run)
      },
    },
  ),
]

/** What only the engine reads. */
const INTERNAL: ReadonlySet<string> = new Set([
  'liveSaga',
  'position',
  'startId',
  'arrivals',
  'deliveries',
  'forgetAtMs',
  'problemCause',
  'isWarned',
])

const shownOf = (run: SagaRunView): object =>
  Object.fromEntries(Object.entries(run).filter(([name]) => !INTERNAL.has(name)))
