import { read } from './client.js'
import { ageOf, byId, empty, openLink, pill, region, table } from './elements.js'
import { formatCount } from './format.js'

const TONES = {
  done: 'good',
  dead: 'bad',
  dropped: 'bad',
  retrying: 'warn',
  parked: 'warn',
  pending: 'plain',
}

export const statusPill = (status) => pill(status, TONES[status] ?? 'plain')

const COLUMNS = [
  { title: 'Key', isHead: true, cell: (one) => (one.key === '' ? '–' : one.key) },
  { title: 'Status', cell: (one) => statusPill(one.status) },
  { title: 'Type', cell: (one) => `${one.type} v${one.version}` },
  {
    title: 'Message',
    align: 'short',
    // Ids of one day begin alike; their end tells them apart.
    cell: (one) => openLink('message', one.id, `…${one.id.slice(-8)}`),
  },
  { title: 'Received', align: 'number', cell: (one) => ageOf(one.receivedAtMs) },
]

const draw = region('messages-body', ({ items, isSearch }) =>
  items.length === 0
    ? empty(isSearch ? 'Nothing found.' : 'No messages yet.')
    : table('Messages', COLUMNS, items),
)

const ROWS = 20
/** Rows kept on the page; beyond it a narrower search serves better. */
const ROWS_MAX = 500
const ID = /^msg_[0-9a-f]{32}$/

const state = { search: { text: '', by: '', status: '' }, items: [], next: undefined, note: '' }

const isSearching = () => state.search.text !== '' || state.search.status !== ''
export const isBrowsing = () => !isSearching() && state.items.length <= ROWS

const pathOf = ({ by, text, status }, after) => {
  const query = new URLSearchParams({ limit: String(ROWS) })
  if (text !== '') query.set(by, text)
  if (status !== '') query.set('status', status)
  if (after !== undefined) query.set('after', after)
  return `/api/v1/messages?${query}`
}

/** Where a text may stand; what looks like an id is one. */
const placesOf = ({ by, text }) => {
  if (text === '' || by !== '') return [by || 'id']
  return ID.test(text) ? ['id', 'correlation'] : ['key', 'correlation', 'id']
}

/** Runs the search from its start: the first place that has anything answers it. */
export const refreshMessages = async () => {
  const asked = state.search
  let page
  let place = ''
  for (place of placesOf(asked)) {
    page = await read(pathOf({ ...asked, by: place }))
    if (page.items.length > 0 || asked.text === '') break
  }
  // Another search was begun meanwhile.
  if (asked !== state.search) return
  state.place = place
  state.items = page.items
  take(page)
}

const searchFurther = async () => {
  const asked = state.search
  const page = await read(pathOf({ ...asked, by: state.place }, state.next))
  if (asked !== state.search) return
  state.items = [...state.items, ...page.items].slice(0, ROWS_MAX)
  take(page)
}

function take(page) {
  state.next = page.next
  draw({ items: state.items, isSearch: isSearching() })
  byId('messages-note').textContent = isSearching() ? noteOf(page) : ''
  const more = byId('messages-more')
  more.hidden = page.next === undefined || state.items.length >= ROWS_MAX
  more.textContent = page.searched.complete || !isSearching() ? 'Show more' : 'Search further'
  byId('search-clear').hidden = !isSearching()
}

/** How complete the answer is: a search that stopped half-way must not look like a "no". */
const noteOf = ({ searched }) => {
  const from = formatCount(searched.fromPosition)
  if (searched.complete) return 'Searched the whole log.'
  return `Searched back to position ${from}, ${formatCount(searched.records)} records in this step. Older ones may match.`
}

/** Puts a search into the form; the address bar is where it lives. */
export const setSearch = ({ text = '', by = '', status = '' }) => {
  const { search } = state
  if (search.text === text && search.by === by && search.status === status) return false
  state.search = { text, by, status }
  byId('search-text').value = text
  byId('search-by').value = by
  byId('search-status').value = status
  return true
}

/** Calls `onSearch` with what the person asked for. */
export const wireSearch = (onSearch, onError) => {
  const form = byId('search')
  const submit = () =>
    onSearch({
      text: byId('search-text').value.trim(),
      by: byId('search-by').value,
      status: byId('search-status').value,
    })
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    submit()
  })
  byId('search-status').addEventListener('change', submit)
  byId('search-clear').addEventListener('click', () => onSearch({ text: '', by: '', status: '' }))
  byId('messages-more').addEventListener('click', () => void searchFurther().catch(onError))
}
