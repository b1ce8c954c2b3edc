import { ageOf, byId, commandLine, empty, facts, h, openLink, pill, region } from './elements.js'
import { formatCount, plural } from './format.js'

/** The size of a group; `+` where more exist than were counted. */
const sizeOf = ({ count, more }) => `${formatCount(count)}${more ? '+' : ''}`

const drawAlerts = (alerts) =>
  alerts.length === 0
    ? empty('No open alerts.')
    : h(
        'ul',
        { class: 'cards' },
        alerts.map((alert) =>
          h(
            'li',
            { class: `card alert alert-${alert.severity}` },
            h(
              'div',
              { class: 'card-main' },
              h('p', { class: 'card-title' }, alert.title),
              h(
                'p',
                { class: 'sub' },
                `${alert.owner} · ${plural(alert.count, 'time')} · first `,
                ageOf(alert.firstAtMs),
                ', last ',
                ageOf(alert.lastAtMs),
              ),
            ),
            h(
              'div',
              { class: 'card-end' },
              pill(alert.severity, alert.severity === 'critical' ? 'bad' : 'warn'),
              alert.state === 'acknowledged' && pill('acknowledged'),
            ),
          ),
        ),
      )

const group = ({ id, size, title, line, more }) =>
  h(
    'details',
    { class: 'card group', 'data-group': id },
    h(
      'summary',
      { 'data-key': `group/${id}` },
      h('span', { class: 'size' }, size),
      h(
        'span',
        { class: 'card-main' },
        h('span', { class: 'card-title' }, title),
        h('span', { class: 'sub' }, line),
      ),
    ),
    h('div', { class: 'group-body' }, more),
  )

const letterGroup = (one) =>
  group({
    id: `dead/${one.cause}`,
    size: sizeOf(one),
    title: one.title,
    line: [`${one.consumer} gave up · ${plural(one.keys, 'key')} · last `, ageOf(one.lastAtMs)],
    more: [
      facts([
        ['Owner', one.owner],
        ['Contract', `${one.type} v${one.contractVersion}`],
        ['Stage', one.stage],
        ['First', ageOf(one.firstAtMs)],
        ['One of them', openLink('dead-letter', one.sample)],
      ]),
      commandLine(`junctura dlq retry --cause ${quoted(one.cause)} --reason "…"`),
    ],
  })

const invalidGroup = (one) =>
  group({
    id: `invalid/${one.cause}`,
    size: sizeOf(one),
    title: one.title,
    line: [
      `refused at ${one.webhook} (${one.reason}${one.version === null ? '' : `, version ${one.version}`}) · last `,
      ageOf(one.lastAtMs),
    ],
    more: [
      facts([
        ['Webhook', one.webhook],
        ['First', ageOf(one.firstAtMs)],
        ['One of them', openLink('invalid', one.sample)],
      ]),
      commandLine(`junctura invalid readmit --cause ${quoted(one.cause)} --reason "…"`),
    ],
  })

/** Plain words go into a shell as they are. */
const quoted = (text) => (/^[\w./:@-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`)

const drawFailures = ({ letters, invalid }) =>
  letters.length + invalid.length === 0
    ? empty('Nothing was given up or kept back.')
    : [...letters.map(letterGroup), ...invalid.map(invalidGroup)]

const regions = {
  alerts: region('alerts-body', drawAlerts),
  failures: region('failures-body', drawFailures),
}

export const showAlerts = (alerts) => {
  const open = alerts.filter(({ state }) => state !== 'resolved')
  const rank = ({ severity, state }) =>
    (severity === 'critical' ? 0 : 1) + (state === 'open' ? 0 : 2)
  regions.alerts([...open].sort((a, b) => rank(a) - rank(b) || b.lastAtMs - a.lastAtMs))
  byId('alerts-note').textContent = open.length === 0 ? '' : `${open.length} not resolved`
}

export const showFailures = (letters, invalid) => {
  regions.failures({ letters, invalid })
  const total = (groups) => groups.reduce((sum, { count }) => sum + count, 0)
  const parts = [
    letters.length > 0 &&
      `${plural(total(letters), 'dead letter')} of ${plural(letters.length, 'cause')}`,
    invalid.length > 0 &&
      `${formatCount(total(invalid))} invalid of ${plural(invalid.length, 'cause')}`,
  ]
  byId('failures-note').textContent = parts.filter(Boolean).join(', ')
}
