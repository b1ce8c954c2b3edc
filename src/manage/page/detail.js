import { read } from './client.js'
import {
  ageOf,
  byId,
  commandLine,
  empty,
  facts,
  h,
  momentOf,
  openLink,
  pill,
  table,
} from './elements.js'
import { formatDuration, plural } from './format.js'
import { statusPill } from './messages.js'

const json = (value) => h('pre', { tabindex: '0' }, h('code', {}, JSON.stringify(value, null, 2)))

const part = (title, ...content) => h('section', {}, h('h3', {}, title), content)

const RELATED_COLUMNS = [
  { title: 'Message', isHead: true, cell: (one) => openLink('message', one.id) },
  { title: 'Type', cell: (one) => `${one.type} v${one.version}` },
  { title: 'Status', cell: (one) => statusPill(one.status) },
]

const OUTCOME_TONES = { done: 'good', failed: 'bad', timeout: 'bad', 'timed-out': 'bad' }

const ATTEMPT_COLUMNS = [
  {
    title: 'Attempt',
    isHead: true,
    cell: (one) => h('span', { class: 'strong' }, `#${one.attempt}`),
  },
  { title: 'At', align: 'short', cell: (one) => momentOf(one.atMs) },
  { title: 'Took', align: 'number', cell: (one) => formatDuration(one.durationMs) },
  { title: 'Outcome', cell: (one) => pill(one.outcome, OUTCOME_TONES[one.outcome]) },
  { title: 'Error', wide: true, cell: (one) => one.error ?? '' },
]

const consumerPart = (one) =>
  h(
    'div',
    { class: 'consumer' },
    h('p', { class: 'row' }, h('span', { class: 'strong' }, one.consumer), statusPill(one.status)),
    facts([
      ['Next attempt', one.nextAttemptAtMs === undefined ? undefined : ageOf(one.nextAttemptAtMs)],
      ['Last error', one.lastError],
      ['Dead letter', one.deadLetter && openLink('dead-letter', one.deadLetter)],
    ]),
    one.attempts.length > 0 && table(`Attempts of ${one.consumer}`, ATTEMPT_COLUMNS, one.attempts),
  )

const messageView = (message) => [
  facts([
    ['Status', statusPill(message.status)],
    ['Type', `${message.type} v${message.version}`],
    ['Key', message.key],
    ['Received', [momentOf(message.receivedAtMs), ' · ', ageOf(message.receivedAtMs)]],
    ['Source', message.source],
    [
      'Correlation',
      h(
        'a',
        { class: 'id', href: searchHash('correlation', message.correlationId) },
        message.correlationId,
      ),
    ],
    ['Position', String(message.position)],
    [
      'Repeated',
      message.repeats && [
        `${plural(message.repeats.repeats, 'time')}, last `,
        ageOf(message.repeats.lastAtMs),
      ],
    ],
  ]),
  message.border.length > 0 &&
    part(
      'Border',
      h(
        'ol',
        { class: 'steps' },
        message.border.map(({ step, outcome }) =>
          h('li', {}, h('span', { class: 'strong' }, step), h('span', {}, outcome)),
        ),
      ),
    ),
  part(
    'Consumers',
    message.consumers.length === 0
      ? empty('No consumer takes it.')
      : message.consumers.map(consumerPart),
  ),
  message.related.length > 0 &&
    part('Same correlation', table('Related', RELATED_COLUMNS, message.related)),
  part('Payload', h('p', { class: 'quiet' }, 'Personal data is masked.'), json(message.payload)),
  part('Envelope', json(message.envelope)),
]

const searchHash = (by, text) => `#${new URLSearchParams({ by, q: text })}`

const letterView = (letter) => [
  facts([
    ['State', pill(letter.state, letter.state === 'open' ? 'bad' : 'plain')],
    ['Error', `${letter.errorName}: ${letter.errorMessage}`],
    ['Consumer', letter.consumer],
    ['Owner', letter.owner],
    ['Message', openLink('message', letter.messageId)],
    ['Contract', `${letter.type} v${letter.contractVersion}`],
    ['Key', letter.key],
    [
      'Attempts',
      letter.crashes > 0
        ? `${letter.attempts}, of them ${letter.crashes} crashed`
        : letter.attempts,
    ],
    ['Received', momentOf(letter.receivedAtMs)],
    ['Given up', [momentOf(letter.diedAtMs), ' · ', ageOf(letter.diedAtMs)]],
    [
      'Waiting',
      letter.successors > 0
        ? `${plural(letter.successors, 'message')} of the same key behind it`
        : undefined,
    ],
    [
      'Resolved',
      letter.resolvedAtMs && [
        ageOf(letter.resolvedAtMs),
        letter.resolvedBy && ` by ${letter.resolvedBy}`,
      ],
    ],
  ]),
  letter.state === 'open' &&
    part('To act', commandLine(`junctura dlq retry ${letter.id} --reason "…"`)),
  part('Payload', h('p', { class: 'quiet' }, 'Personal data is masked.'), json(letter.payload)),
  letter.errorStack && part('Stack', h('pre', { tabindex: '0' }, letter.errorStack)),
]

const invalidView = (row) => [
  facts([
    ['State', pill(row.state, row.state === 'open' ? 'warn' : 'plain')],
    ['Reason', row.reason],
    ['Webhook', row.webhook],
    ['Contract', row.version === null ? row.contract : `${row.contract} v${row.version}`],
    ['Received', [momentOf(row.receivedAtMs), ' · ', ageOf(row.receivedAtMs)]],
    ['Signed with', row.scheme],
    ['Body', `${plural(row.bodyBytes, 'byte')}, ${row.mediaType}`],
    ['Conflicts with', row.conflictsWith && openLink('message', row.conflictsWith)],
    ['Became', row.messageId && openLink('message', row.messageId)],
  ]),
  row.errors.length > 0 &&
    part(
      'At fault',
      h(
        'ul',
        { class: 'steps' },
        row.errors.map(({ pointer, message }) =>
          h(
            'li',
            {},
            h('code', {}, pointer === '' ? '(the whole)' : pointer),
            h('span', {}, message),
          ),
        ),
      ),
    ),
  row.state === 'open' &&
    part('To act', commandLine(`junctura invalid readmit ${row.id} --reason "…"`)),
  part('Payload', h('p', { class: 'quiet' }, 'Personal data is masked.'), json(row.payload)),
]

const KINDS = {
  message: { title: 'Message', path: '/api/v1/messages/', view: messageView },
  'dead-letter': { title: 'Dead letter', path: '/api/v1/dead-letters/', view: letterView },
  invalid: { title: 'Invalid request', path: '/api/v1/invalid/', view: invalidView },
}

export const DETAIL_KINDS = Object.keys(KINDS)

let opened

/** Opens one thing over the page, or brings the open one up to date. */
export const showDetail = async (kind, id) => {
  const { title, path, view } = KINDS[kind]
  const isNew = opened !== `${kind}/${id}`
  opened = `${kind}/${id}`
  const dialog = byId('detail')
  const body = byId('detail-body')
  if (isNew) {
    byId('detail-title').replaceChildren(`${title} `, h('span', { class: 'id' }, id))
    body.replaceChildren(empty('Loading…'))
  }
  if (!dialog.open) dialog.showModal()
  try {
    const found = await read(`${path}${encodeURIComponent(id)}`)
    if (opened !== `${kind}/${id}`) return
    const content = found === undefined ? [empty('There is nothing with this id.')] : view(found)
    body.replaceChildren(...content.flat(Infinity).filter(Boolean))
    if (isNew) body.scrollTop = 0
  } catch (error) {
    body.replaceChildren(empty(`It could not be read: ${error.message}`))
  }
}

export const hideDetail = () => {
  opened = undefined
  const dialog = byId('detail')
  if (dialog.open) dialog.close()
}
