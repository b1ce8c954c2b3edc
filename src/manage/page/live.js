import { byId, h, openLink } from './elements.js'
import { formatClock, formatCount, formatDuration } from './format.js'

/** Rows in the feed; older ones leave. */
const ROWS_MAX = 150

const message = (id) => openLink('message', id, `…${id.slice(-6)}`)

/** What each event says: its word, its tone, its text. */
const LINES = {
  accepted: (e) => [
    'accepted',
    'good',
    [`${e.webhook}: ${e.type} ${e.key} `, message(e.messageId)],
  ],
  duplicate: (e) => [
    'duplicate',
    'plain',
    [`${e.webhook}: ${e.type} ${e.key} `, message(e.messageId)],
  ],
  published: (e) => ['published', 'good', [`${e.type} ${e.key} `, message(e.messageId)]],
  refused: (e) => {
    const skew = e.skewSeconds === undefined ? '' : ` by ${e.skewSeconds} s`
    const detail = e.detail === undefined ? '' : ` (${e.detail}${skew})`
    return ['refused', 'warn', [`${e.webhook}: ${e.status} ${e.reason}${detail}`]]
  },
  invalid: (e) => [
    'invalid',
    'warn',
    [`${e.webhook}: ${e.reason} `, openLink('invalid', e.invalidId, `…${e.invalidId.slice(-6)}`)],
  ],
  attempt: (e) =>
    e.outcome === 'done'
      ? [
          'done',
          'good',
          [`${e.consumer}: ${e.key} in ${formatDuration(e.durationMs)} `, message(e.messageId)],
        ]
      : [
          e.outcome,
          'warn',
          [
            `${e.consumer}: ${e.key}, attempt ${e.attempt}${e.error ? `, ${e.error}` : ''} `,
            message(e.messageId),
          ],
        ],
  retry: (e) => [
    'retry',
    'warn',
    [
      `${e.consumer}: again in ${formatDuration(Math.max(0, e.dueAtMs - e.atMs))} `,
      message(e.messageId),
    ],
  ],
  'dead-letter': (e) => [
    'dead letter',
    'bad',
    [
      `${e.consumer}: ${e.key} `,
      openLink('dead-letter', e.deadLetterId, `…${e.deadLetterId.slice(-6)}`),
    ],
  ],
  log: (e) => ['log', 'plain', [`${e.consumer}: ${e.message} `, message(e.messageId)]],
  alert: (e) => [
    'alert',
    e.state === 'resolved' ? 'good' : 'bad',
    [`${e.title} (${e.state}, ${formatCount(e.count)}×)`],
  ],
  operation: (e) => ['operation', 'plain', [`${e.command} by ${e.actor}: ${e.state}`]],
  replay: (e) => [
    'replay',
    'plain',
    [`${e.state}, ${formatCount(e.released)} of ${formatCount(e.total)}`],
  ],
}

const TROUBLE = new Set(['warn', 'bad'])

const state = { waiting: [], isPaused: false, isScheduled: false, skipped: 0 }

/** Takes one event; many of one moment are drawn together. */
export const takeEvent = (event) => {
  state.waiting.push(event)
  if (state.waiting.length > ROWS_MAX) {
    state.waiting.shift()
    state.skipped += 1
  }
  if (state.isPaused || state.isScheduled) return noteWaiting()
  state.isScheduled = true
  requestAnimationFrame(drawWaiting)
}

function drawWaiting() {
  state.isScheduled = false
  if (state.isPaused) return
  const feed = byId('live-body')
  const isNewest = feed.scrollTop < 4
  for (const event of state.waiting) feed.prepend(rowOf(event))
  state.waiting = []
  state.skipped = 0
  while (feed.childElementCount > ROWS_MAX) feed.lastElementChild.remove()
  if (isNewest) feed.scrollTop = 0
  noteWaiting()
}

function rowOf(event) {
  const [word, tone, text] = LINES[event.kind]?.(event) ?? [event.kind, 'plain', []]
  return h(
    'li',
    { class: TROUBLE.has(tone) ? 'trouble' : undefined },
    h(
      'time',
      { datetime: new Date(event.atMs).toISOString(), 'data-clock': event.atMs },
      formatClock(event.atMs),
    ),
    h('span', { class: `word ${tone}` }, word),
    h('span', { class: 'what' }, text),
  )
}

function noteWaiting() {
  const count = state.waiting.length + state.skipped
  byId('live-note').textContent = state.isPaused && count > 0 ? `${formatCount(count)} waiting` : ''
}

/** A gap in what was seen is part of what happened. */
export const takeMissed = ({ missed, restarted }) => {
  const text = restarted ? 'the runtime was restarted' : `${formatCount(missed)} events were missed`
  byId('live-body').prepend(h('li', { class: 'gap' }, text))
}

export const refreshClocks = () => {
  for (const time of document.querySelectorAll('time[data-clock]')) {
    time.textContent = formatClock(Number(time.dataset.clock))
  }
}

export const wireLive = () => {
  const pause = byId('live-pause')
  pause.addEventListener('click', () => {
    state.isPaused = !state.isPaused
    pause.setAttribute('aria-pressed', String(state.isPaused))
    pause.textContent = state.isPaused ? 'Resume' : 'Pause'
    if (!state.isPaused) drawWaiting()
  })
  byId('live-problems').addEventListener('change', (event) => {
    byId('live-body').classList.toggle('problems-only', event.target.checked)
  })
}
