import { LIMITS } from '../kernel/index.ts'
import { openEventStream } from './event-stream.ts'
import { jsonAnswer, streamAnswer } from './http-answer.ts'
import type { ManageResponse } from './manage-request.ts'
import { readOperationRequest } from './operation-request.ts'
import { checkText } from './parameters.ts'
import { readPublishRequest } from './publish-request.ts'
import { readJsonBody } from './read-json-body.ts'
import { found, get, PAGE, pageOf, position, type Route, type RouteCall } from './route.ts'

/** What can be done, its journal, and the stream of what happens. */
export const OPERATION_ROUTES: readonly Route[] = [
  get(
    '/api/v1/replays',
    { summary: 'Replays, newest first.', answer: 'ReplayPage' },
    { parameters: PAGE, handle: ({ runtime, parameters }) => runtime.replays(pageOf(parameters)) },
  ),
  get(
    '/api/v1/replays/{id}',
    { summary: 'One replay: plan and progress.', answer: 'Replay' },
    { handle: async ({ runtime, id }) => found('replay', await runtime.replay(id)) },
  ),
  get(
    '/api/v1/operations',
    { summary: 'The journal: who did what, when, why, with what result.', answer: 'OperationPage' },
    {
      parameters: PAGE,
      handle: ({ runtime, parameters }) => runtime.operations(pageOf(parameters)),
    },
  ),
  {
    method: 'POST',
    path: '/api/v1/operations',
    summary: 'Does one journaled operation, at most once per `operationId`.',
    parameters: [],
    answer: 'OperationResult',
    handle: operate,
  },
  {
    method: 'POST',
    path: '/api/v1/publish',
    summary: 'Publishes one message of a contract; answered when it is durable.',
    parameters: [],
    answer: 'Published',
    async handle({ runtime, request, fields }) {
      const draft = readPublishRequest(await readJsonBody(request, fields), runtime.integration)
      return jsonAnswer({ id: await runtime.publish(draft) })
    },
  },
  {
    method: 'GET',
    path: '/api/v1/stream',
    summary: 'What happens, as server-sent events; `Last-Event-ID` resumes.',
    parameters: [
      position('newest', 'Begin with so many past events.', LIMITS.streamEventsKept),
      position('run', 'The `run` of `hello` that `Last-Event-ID` was seen in.'),
    ],
    answer: 'stream',
    handle: (call) => Promise.resolve(stream(call)),
  },
]

async function operate(call: RouteCall): Promise<ManageResponse> {
  const { runtime, request, fields, hasToken } = call
  const asked = readOperationRequest(await readJsonBody(request, fields))
  const claimed = asked.actor ?? 'local'
  const address = request.remoteAddress
  const result = await runtime.operate(asked.command, {
    // A token proves who it is; a name in the body is only what somebody says, so it goes beside.
    actor: hasToken ? 'token' : claimed,
    origin: hasToken ? `api ${address} as ${claimed}` : `api ${address}`,
    reason: asked.reason,
    ...(asked.operationId !== undefined && { operationId: asked.operationId }),
  })
  return jsonAnswer(result)
}

function stream({ runtime, fields, parameters }: RouteCall): ManageResponse {
  const lastEventId = fields.header('last-event-id')
  const afterId = lastEventId === undefined ? undefined : readEventId(lastEventId)
  const newest = parameters.integer('newest')
  const afterRun = parameters.integer('run')
  const body = openEventStream({
    events: runtime.events,
    clock: runtime.kernel.clock,
    run: runtime.startedAtMs,
    ...(afterId !== undefined && { afterId }),
    ...(afterRun !== undefined && { afterRun }),
    ...(newest !== undefined && { newest }),
  })
  return streamAnswer(body)
}

/** A number that is not ours begins anew rather than failing: browsers send it by themselves. */
const readEventId = (value: string): number | undefined =>
  /^\d{1,15}$/.test(checkText('Last-Event-ID', value)) ? Number(value) : undefined
