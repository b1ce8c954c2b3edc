import { formatAge, formatTime, visible } from './format.js'

/**
 * Makes an element. Children that are text become text nodes and nothing else: no payload can
 * become markup, whatever is in it.
 */
export const h = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value)
    else element.setAttribute(name, value === true ? '' : String(value))
  }
  append(element, children)
  return element
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue
    element.append(child instanceof Node ? child : visible(String(child)))
  }
}

export const byId = (id) => document.getElementById(id)

/** A time that says how long ago, keeps saying it, and shows the moment itself on hover. */
export const ageOf = (atMs) => {
  const time = h('time', { 'data-at': atMs, datetime: new Date(atMs).toISOString() })
  refreshAge(time, Date.now())
  return time
}

export const momentOf = (atMs) =>
  h('time', { 'data-moment': atMs, datetime: new Date(atMs).toISOString() }, formatTime(atMs))

function refreshAge(time, nowMs) {
  const atMs = Number(time.dataset.at)
  const text = formatAge(atMs, nowMs)
  if (time.textContent !== text) time.textContent = text
  time.title = formatTime(atMs)
}

/** Brings every shown time up to date. */
export const refreshTimes = () => {
  const nowMs = Date.now()
  for (const time of document.querySelectorAll('time[data-at]')) refreshAge(time, nowMs)
  for (const time of document.querySelectorAll('time[data-moment]')) {
    time.textContent = formatTime(Number(time.dataset.moment))
  }
}

/** A word with a colour; the word alone says it too. */
export const pill = (text, tone = 'plain') => h('span', { class: `pill ${tone}` }, text)

/** A button that looks like the id it opens; the address bar keeps what is open. */
export const openLink = (kind, id, text = id) =>
  h(
    'a',
    { class: 'id', href: `#${kind}=${encodeURIComponent(id)}`, 'data-key': `${kind}/${id}` },
    text,
  )

/**
 * A table that turns into cards on a narrow screen. `cell` gives what a cell shows; `tone` marks a
 * figure that somebody should look at.
 */
export const table = (label, columns, rows) =>
  h(
    'div',
    { class: 'table-wrap' },
    h(
      'table',
      { 'aria-label': label },
      h(
        'thead',
        {},
        h(
          'tr',
          {},
          columns.map((column) =>
            h('th', { scope: 'col', class: column.align, title: column.help }, column.title),
          ),
        ),
      ),
      h(
        'tbody',
        {},
        rows.map((row) =>
          h(
            'tr',
            {},
            columns.map((column) => cellOf(column, row)),
          ),
        ),
      ),
    ),
  )

function cellOf(column, row) {
  const tone = column.tone?.(row)
  const classes = [column.align, column.wide && 'wide', tone && `tone-${tone}`].filter(Boolean)
  const attributes = { 'data-label': column.title, class: classes.join(' ') || undefined }
  const content = column.cell(row)
  return column.isHead
    ? h('th', { scope: 'row', ...attributes }, content)
    : h('td', attributes, content)
}

export const facts = (pairs) =>
  h(
    'dl',
    { class: 'facts' },
    pairs
      .filter(([, value]) => value !== undefined && value !== null && value !== '')
      .map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value))),
  )

export const empty = (text) => h('p', { class: 'empty' }, text)

/** A command to run, with a button that copies it where the browser allows that. */
export const commandLine = (command) => {
  const canCopy = navigator.clipboard !== undefined
  const copy = h(
    'button',
    { type: 'button', class: 'ghost small', onclick: () => void copied() },
    'Copy',
  )
  const copied = async () => {
    await navigator.clipboard.writeText(command)
    copy.textContent = 'Copied'
  }
  return h('div', { class: 'command' }, h('code', {}, command), canCopy && copy)
}

/**
 * A place that is drawn again only when its data changed, so that what a person selected, opened or
 * focused stays as it is.
 */
export const region = (id, draw) => {
  let shown
  return (data) => {
    const next = JSON.stringify(data)
    if (next === shown) return
    shown = next
    const root = byId(id)
    const focused = root.contains(document.activeElement) ? document.activeElement : undefined
    const key = focused?.getAttribute('data-key')
    const open = [...root.querySelectorAll('details[open]')].map((one) => one.dataset.group)
    const drawn = [draw(data)].flat(Infinity).filter(Boolean)
    root.replaceChildren(...drawn)
    for (const one of root.querySelectorAll('details')) {
      if (open.includes(one.dataset.group)) one.open = true
    }
    if (key) root.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus()
  }
}
