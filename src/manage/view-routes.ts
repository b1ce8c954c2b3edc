import { describeRoute } from '../contract/index.ts'
import { OPEN_METRICS_CONTENT_TYPE, renderOpenMetrics } from '../observe/index.ts'
import type { AlertView } from '../runtime/index.ts'
import { textAnswer } from './http-answer.ts'
import {
  choice,
  found,
  get,
  given,
  limit,
  PAGE,
  pageOf,
  position,
  type Route,
  text,
} from './route.ts'
import { SAGA_ROUTES } from './saga-routes.ts'

const STATUSES = [
  'pending',
  'done',
  'retrying',
  'parked',
  'dead',
  'dropped',
  'expired',
  'duplicate',
  'no-consumer',
] as const
const LETTER_STATES = ['open', 'resolved', 'dropped'] as const
const INVALID_STATES = ['open', 'readmitted', 'dropped'] as const
const ALERT_STATES = ['open', 'acknowledged', 'resolved'] as const

const KEY_STATES = ['missed', 'open', 'early', 'undone'] as const

const OBSERVING: readonly Route[] = [
  {
    method: 'GET',
    path: '/metrics',
    summary: 'Every metric, as OpenMetrics 1.0 text.',
    parameters: [],
    answer: 'text',
    handle: async ({ runtime }) => {
      // Counts the live runs on the store; every other metric is in memory.
      await runtime.sagaSummaries()
      return textAnswer(renderOpenMetrics(runtime.metrics.collect()), OPEN_METRICS_CONTENT_TYPE)
    },
  },
  get(
    '/api/v1/overview',
    { summary: 'Is it well: status, reasons, the five health figures.', answer: 'Overview' },
    { handle: ({ runtime }) => runtime.overview() },
  ),
  get(
    '/api/v1/consumers',
    { summary: 'Each consumer: how far, how late, what waits.', answer: 'ConsumerList' },
    { handle: async ({ runtime }) => ({ items: await runtime.consumers() }) },
  ),
  get(
    '/api/v1/outboxes',
    { summary: 'Each outbox: how far its relay is, what waits.', answer: 'OutboxList' },
    { handle: async ({ runtime }) => ({ items: await runtime.outboxes() }) },
  ),
  get(
    '/api/v1/topics',
    {
      summary: 'Each topic that others write: how far it is moved, what waits, what is lost.',
      answer: 'TopicList',
    },
    { handle: async ({ runtime }) => ({ items: await runtime.topics() }) },
  ),
  get(
    '/api/v1/expectations',
    {
      summary: 'Each expectation: what waits, what was missed, what became of the rest.',
      answer: 'ExpectationList',
    },
    { handle: async ({ runtime }) => ({ items: await runtime.expectations() }) },
  ),
  get(
    '/api/v1/expectations/{id}',
    {
      summary: 'Keys of one expectation, the earliest deadline first.',
      answer: 'ExpectationKeyPage',
    },
    {
      parameters: [
        choice('state', KEY_STATES, 'Default missed.'),
        text('key', 'This key alone, whatever its state.'),
        ...PAGE,
      ],
      handle: async ({ runtime, parameters, id }) => {
        const state = parameters.choice('state', KEY_STATES)
        const page = await runtime.expectationKeys(id, {
          ...given(parameters, ['key']),
          ...pageOf(parameters),
          ...(state !== undefined && { state }),
        })
        return found('expectation', page)
      },
    },
  ),
  get(
    '/api/v1/flows',
    {
      summary: 'Choreographed flows: what was expected against what came.',
      answer: 'FlowList',
    },
    { handle: async ({ runtime }) => ({ items: await runtime.flows() }) },
  ),
  get(
    '/api/v1/schedules',
    { summary: 'What is emitted at given times: when next, when last.', answer: 'ScheduleList' },
    { handle: async ({ runtime }) => ({ items: await runtime.schedules() }) },
  ),
  get(
    '/api/v1/model',
    { summary: 'The declaration that runs, as the Model.', answer: 'Model' },
    { handle: ({ runtime }) => Promise.resolve(runtime.model) },
  ),
]

const MESSAGES: readonly Route[] = [
  get(
    '/api/v1/messages',
    {
      summary: 'Messages, newest first; `searched` says how much of the log was read.',
      answer: 'MessagePage',
    },
    {
      parameters: [
        text('id', 'The message of this id.'),
        text('correlation', 'Messages of this correlation id.'),
        text('key', 'Messages of this key.'),
        text('type', 'Messages of this type.'),
        choice('status', STATUSES, 'What became of it, over all consumers.'),
        limit,
        position('after', 'The `next` of the page before: a position of the log.'),
      ],
      handle: ({ runtime, parameters }) => {
        const status = parameters.choice('status', STATUSES)
        return runtime.messages({
          ...given(parameters, ['id', 'correlation', 'key', 'type']),
          ...pageOf(parameters),
          ...(status !== undefined && { status }),
        })
      },
    },
  ),
  get(
    '/api/v1/messages/{id}',
    {
      summary: 'One message: envelope, masked payload, border steps, attempts per consumer.',
      answer: 'Message',
    },
    { handle: async ({ runtime, id }) => found('message', await runtime.message(id)) },
  ),
]

const FAILURES: readonly Route[] = [
  get(
    '/api/v1/dead-letters',
    { summary: 'What handlers and transforms gave up on.', answer: 'DeadLetterPage' },
    {
      parameters: [
        text('consumer', 'Of this consumer, or webhook of a transform.'),
        text('cause', 'Of this group.'),
        choice('state', LETTER_STATES, 'Default open.'),
        ...PAGE,
      ],
      handle: ({ runtime, parameters }) => {
        const state = parameters.choice('state', LETTER_STATES)
        return runtime.deadLetters({
          ...given(parameters, ['consumer', 'cause']),
          ...pageOf(parameters),
          ...(state !== undefined && { state }),
        })
      },
    },
  ),
  get(
    '/api/v1/dead-letters/groups',
    { summary: 'Open dead letters by cause, most first.', answer: 'DeadLetterGroupList' },
    { handle: async ({ runtime }) => ({ items: await runtime.deadLetterGroups() }) },
  ),
  get(
    '/api/v1/dead-letters/{id}',
    { summary: 'One dead letter with its masked payload.', answer: 'DeadLetter' },
    { handle: async ({ runtime, id }) => found('dead letter', await runtime.deadLetter(id)) },
  ),
  get(
    '/api/v1/invalid',
    { summary: 'Verified requests that the border refused and kept.', answer: 'InvalidPage' },
    {
      parameters: [
        text('webhook', 'Of this webhook.'),
        text('cause', 'Of this group.'),
        choice('state', INVALID_STATES, 'Default open.'),
        ...PAGE,
      ],
      handle: ({ runtime, parameters }) => {
        const state = parameters.choice('state', INVALID_STATES)
        return runtime.invalid({
          ...given(parameters, ['webhook', 'cause']),
          ...pageOf(parameters),
          ...(state !== undefined && { state }),
        })
      },
    },
  ),
  get(
    '/api/v1/invalid/groups',
    { summary: 'Open invalid requests by cause, most first.', answer: 'InvalidGroupList' },
    { handle: async ({ runtime }) => ({ items: await runtime.invalidGroups() }) },
  ),
  get(
    '/api/v1/invalid/{id}',
    { summary: 'One invalid request with its masked payload.', answer: 'Invalid' },
    { handle: async ({ runtime, id }) => found('invalid request', await runtime.invalidOne(id)) },
  ),
  get(
    '/api/v1/alerts',
    { summary: 'Alerts, newest first.', answer: 'AlertPage' },
    {
      parameters: [choice('state', ALERT_STATES, 'Only these.'), ...PAGE],
      handle: async ({ runtime, parameters }) => {
        const state = parameters.choice('state', ALERT_STATES)
        const page = await runtime.alerts({
          ...pageOf(parameters),
          ...(state !== undefined && { state }),
        })
        return { ...page, items: page.items.map(alertShown) }
      },
    },
  ),
]

/** Where an alert goes, with secrets by reference only. */
const alertShown = (alert: AlertView): object => ({ ...alert, target: describeRoute(alert.target) })

/** What can be seen, without the journal. */
export const VIEW_ROUTES: readonly Route[] = [
  ...OBSERVING,
  ...SAGA_ROUTES,
  ...MESSAGES,
  ...FAILURES,
]
