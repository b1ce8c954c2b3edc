import { ageOf, byId, empty, facts, h, pill, region, table } from './elements.js'
import { formatBytes, formatCount, formatDuration, formatShare, plural } from './format.js'

const GLYPH = { ok: '●', degraded: '▲', down: '■', unknown: '◌' }

const sentenceOf = ({ status, reasons }) => {
  if (status === 'ok') return 'Everything is running.'
  if (status === 'unknown') return 'The runtime does not answer.'
  if (status === 'down') return 'It takes no messages right now.'
  return reasons.length > 1
    ? `${reasons.length} things need somebody.`
    : 'Something needs somebody.'
}

const drawStatus = ({ status, reasons, startedAtMs }) => {
  byId('status').className = `status status-${status}`
  return [
    h('span', { class: 'glyph', 'aria-hidden': 'true' }, GLYPH[status] ?? GLYPH.unknown),
    h(
      'div',
      { class: 'status-text' },
      h('p', { class: 'sentence' }, sentenceOf({ status, reasons })),
      reasons.length > 0 &&
        h(
          'ul',
          {},
          reasons.map((reason) => h('li', {}, reason)),
        ),
    ),
    h(
      'p',
      { class: 'quiet' },
      status === 'unknown' ? 'last answer ' : 'started ',
      ageOf(startedAtMs),
    ),
  ]
}

const tile = ({ title, value, note, tone, help }) =>
  h(
    'div',
    { class: `tile${tone ? ` tile-${tone}` : ''}`, title: help },
    h('dt', {}, title),
    h('dd', {}, h('span', { class: 'value' }, value), h('span', { class: 'note' }, note)),
  )

const drawFigures = (overview) => {
  const { health } = overview
  const mismatches = health.contractMismatchRate
  const p99 = health.consumerLatencyMsP99
  return [
    h(
      'dl',
      { class: 'tiles' },
      tile({
        title: 'Dead letters',
        value: formatCount(health.deadLetters),
        note: health.deadLetters === 0 ? 'nothing waits for somebody' : 'wait for somebody',
        tone: health.deadLetters > 0 && 'bad',
        help: 'Messages that a handler or a transform gave up on and nobody has dealt with yet.',
      }),
      tile({
        title: 'Contract mismatches',
        value: formatShare(mismatches),
        note: `${formatCount(overview.invalidOpen)} kept as invalid`,
        tone: mismatches > 0 && 'warn',
        help: 'Verified requests that broke a contract, of all verified requests, recently.',
      }),
      tile({
        title: 'Receipt to done',
        value: formatDuration(p99),
        note:
          p99 === null
            ? 'nothing finished yet'
            : `p99; half within ${formatDuration(health.consumerLatencyMsP50)}`,
        help: 'From receipt at the border to done in a consumer, retries included, recently.',
      }),
      tile({
        title: 'Duplicates',
        value: formatShare(health.duplicateRate),
        note: `${formatCount(overview.duplicates)} answered from the record`,
        help: 'Valid requests that were repeats, recently. Each has had its effect once.',
      }),
      tile({
        title: 'Correlated',
        value: formatShare(health.correlationCoverage),
        note: 'carry a correlation id',
        tone: health.correlationCoverage < 0.9 && 'warn',
        help: 'Messages that can be followed from end to end, recently.',
      }),
    ),
    facts([
      ['Accepted', formatCount(overview.accepted)],
      ['Refused', formatCount(overview.refused)],
      [
        'Answered within',
        overview.ingressLatencyMsP99 === null
          ? undefined
          : `${formatDuration(overview.ingressLatencyMsP99)} (p99)`,
      ],
      ['Log', `${formatCount(overview.store.headPosition)} records`],
      ['Store', storeText(overview.store)],
    ]),
  ]
}

const storeText = ({ engine, durability, unitOfOrder, sizeBytes }) =>
  [
    engine,
    sizeBytes === null ? undefined : formatBytes(sizeBytes),
    durability,
    `order per ${unitOfOrder}`,
  ]
    .filter(Boolean)
    .join(', ')

const zeroDash = (value) => (value === 0 ? h('span', { class: 'zero' }, '0') : formatCount(value))
const when = (test, tone) => (test ? tone : undefined)

/** On a shared store: each process, and how many partitions of the consumer it runs. */
const whoRuns = ({ partitions }) => {
  if (partitions.every(({ holder }) => holder === null)) return undefined
  const counts = new Map()
  for (const { holder, managementUrl } of partitions) {
    const who = managementUrl ?? holder ?? 'nobody'
    counts.set(who, (counts.get(who) ?? 0) + 1)
  }
  return [...counts]
    .map(([who, count]) => `${who} runs ${count} of ${partitions.length}`)
    .join(', ')
}

const CONSUMER_COLUMNS = [
  {
    title: 'Consumer',
    isHead: true,
    cell: (one) => [
      h('span', { class: 'strong' }, one.name),
      one.mode !== 'running' &&
        pill(
          one.mode,
          one.mode === 'stopped' ? 'bad' : one.mode === 'elsewhere' ? undefined : 'warn',
        ),
      h('span', { class: 'sub' }, `${one.on} v${one.version} · ${one.owner}`),
      whoRuns(one) && h('span', { class: 'sub' }, whoRuns(one)),
    ],
  },
  {
    title: 'Lag',
    align: 'number',
    help: 'Messages that are not finished.',
    cell: (one) => zeroDash(one.lag),
  },
  {
    title: 'Oldest',
    align: 'number',
    help: 'Age of the oldest message that is not finished.',
    tone: (one) => when((one.oldestPendingAgeMs ?? 0) > 60_000, 'warn'),
    cell: (one) => formatDuration(one.oldestPendingAgeMs),
  },
  { title: 'In flight', align: 'number', cell: (one) => zeroDash(one.inFlight) },
  {
    title: 'Retrying',
    align: 'number',
    tone: (one) => when(one.retrying > 0, 'warn'),
    cell: (one) => zeroDash(one.retrying),
  },
  {
    title: 'Parked',
    align: 'number',
    help: 'Keys that wait behind a dead letter.',
    tone: (one) => when(one.parked > 0, 'warn'),
    cell: (one) => zeroDash(one.parked),
  },
  {
    title: 'Dead',
    align: 'number',
    tone: (one) => when(one.deadLettersOpen > 0, 'bad'),
    cell: (one) => zeroDash(one.deadLettersOpen),
  },
  { title: 'Done', align: 'number', cell: (one) => zeroDash(one.done) },
  {
    title: 'p99',
    align: 'number',
    help: 'From receipt to done.',
    cell: (one) => formatDuration(one.latencyMsP99),
  },
]

const WEBHOOK_COLUMNS = [
  {
    title: 'Webhook',
    isHead: true,
    cell: (one) => [
      h('span', { class: 'strong' }, one.name),
      h('span', { class: 'sub' }, `${one.path} · from ${one.from}`),
    ],
  },
  { title: 'Accepted', align: 'number', cell: (one) => zeroDash(one.accepted) },
  { title: 'Duplicates', align: 'number', cell: (one) => zeroDash(one.duplicates) },
  {
    title: 'Refused',
    align: 'number',
    help: 'Since the start: size, route, rate, signature, overload.',
    cell: (one) => zeroDash(one.refused),
  },
  {
    title: 'Mismatches',
    align: 'number',
    help: 'Since the start: unknown version or broken schema.',
    cell: (one) => zeroDash(one.mismatches),
  },
  {
    title: 'Still repeating',
    wide: true,
    help: 'What the partner sends again and again although it was accepted.',
    cell: ({ repeats: { ids, longest } }) =>
      longest === undefined
        ? h('span', { class: 'zero' }, 'nothing')
        : h(
            'span',
            {},
            `${plural(ids, 'message')}, longest `,
            h(
              'a',
              {
                class: 'id',
                href: `#message=${encodeURIComponent(longest.messageId)}`,
                'data-key': `repeat/${longest.messageId}`,
              },
              `${formatCount(longest.repeats)}×`,
            ),
            ' since ',
            ageOf(longest.firstAtMs),
          ),
  },
]

const regions = {
  status: region('status', drawStatus),
  figures: region('figures', drawFigures),
  consumers: region('consumers-body', (rows) =>
    rows.length === 0
      ? empty('No consumer is declared.')
      : table('Consumers', CONSUMER_COLUMNS, rows),
  ),
  webhooks: region('webhooks-body', (rows) =>
    rows.length === 0 ? empty('No webhook is declared.') : table('Webhooks', WEBHOOK_COLUMNS, rows),
  ),
}

/** Shows what `/api/v1/overview` said. */
export const showOverview = (overview) => {
  const { name, version, modelHash, status, reasons, startedAtMs } = overview
  document.title = `${GLYPH[status] ?? GLYPH.unknown} ${name} · Junctura`
  byId('name').textContent = name
  byId('version').textContent = `${version} · model ${modelHash.slice(0, 8)}`
  const { health, accepted, duplicates, refused, invalidOpen, ingressLatencyMsP99, store } =
    overview
  regions.status({ status, reasons, startedAtMs })
  regions.figures({
    health,
    accepted,
    duplicates,
    refused,
    invalidOpen,
    ingressLatencyMsP99,
    store,
  })
  regions.consumers(overview.consumers)
  regions.webhooks(overview.webhooks)
  byId('consumers-note').textContent = consumersNote(overview.consumers)
}

const consumersNote = (consumers) => {
  const behind = consumers.filter(({ lag }) => lag > 0).length
  if (consumers.length === 0) return ''
  return behind === 0 ? 'all caught up' : `${behind} of ${consumers.length} behind`
}

/** Nobody answers: what is shown below is old, and the page says so. */
export const showSilence = (sinceMs, problem) => {
  document.title = `${GLYPH.unknown} ${byId('name').textContent} · Junctura`
  const reasons = [`What is shown below is from then. ${problem}`]
  regions.status({ status: 'unknown', reasons, startedAtMs: sinceMs })
}
