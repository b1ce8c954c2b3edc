import { follow, read, setToken, TokenNeeded } from './client.js'
import { DETAIL_KINDS, hideDetail, showDetail } from './detail.js'
import { byId, refreshTimes } from './elements.js'
import { showAlerts, showFailures } from './failures.js'
import { usesUtc, useUtc } from './format.js'
import { showOverview, showSilence } from './health.js'
import { refreshClocks, takeEvent, takeMissed, wireLive } from './live.js'
import { isBrowsing, refreshMessages, setSearch, wireSearch } from './messages.js'

/** Without events the page looks by itself; with events it looks soon after one, not after each. */
const POLL_MS = 5_000
const AFTER_EVENT_MS = 700
const PAST_EVENTS = 60

let lastAnswerMs = Date.now()
let pending
let isRefreshing = false
let isStarted = false

const refresh = async () => {
  clearTimeout(pending)
  pending = undefined
  if (isRefreshing) return
  isRefreshing = true
  try {
    const [overview, alerts, letters, invalid] = await Promise.all([
      read('/api/v1/overview'),
      read('/api/v1/alerts?limit=100'),
      read('/api/v1/dead-letters/groups'),
      read('/api/v1/invalid/groups'),
      isBrowsing() ? refreshMessages() : undefined,
    ])
    byId('token-form').hidden = true
    byId('content').hidden = false
    showOverview(overview)
    showAlerts(alerts.items)
    showFailures(letters.items, invalid.items)
    refreshTimes()
    lastAnswerMs = Date.now()
    begin()
  } catch (error) {
    fail(error)
  } finally {
    isRefreshing = false
    plan(POLL_MS)
  }
}

/** The next look, no later than in `delayMs`; a hidden page waits until it is seen. */
const plan = (delayMs) => {
  if (pending !== undefined && delayMs >= POLL_MS) return
  if (document.hidden) return
  clearTimeout(pending)
  pending = setTimeout(() => void refresh(), delayMs)
}

const fail = (error) => {
  if (error instanceof TokenNeeded) {
    byId('token-form').hidden = false
    byId('content').hidden = true
    showConnection('locked')
    byId('token').focus()
    return
  }
  showConnection('reconnecting')
  byId('content').hidden = false
  showSilence(lastAnswerMs, error.message)
}

const showConnection = (state) => {
  const element = byId('connection')
  element.textContent = state
  element.className = `connection connection-${state}`
}

/** Once something was answered: events, and what the address bar asks for. */
const begin = () => {
  if (isStarted) return
  isStarted = true
  let isPlanned = false
  void follow({
    newest: PAST_EVENTS,
    onEvent: (event) => {
      takeEvent(event)
      if (isPlanned) return
      isPlanned = true
      setTimeout(() => {
        isPlanned = false
        plan(0)
      }, AFTER_EVENT_MS)
    },
    onMissed: takeMissed,
    onState: showConnection,
  }).catch((error) => {
    isStarted = false
    fail(error)
  })
  readAddress()
}

/** What is open and what is searched for lives in the address: a link shows the same view. */
const readAddress = () => {
  const address = new URLSearchParams(location.hash.slice(1))
  const kind = DETAIL_KINDS.find((one) => address.has(one))
  if (kind) {
    void showDetail(kind, address.get(kind))
    return
  }
  hideDetail()
  const isSearch = ['q', 'by', 'status'].some((name) => address.has(name))
  const isAnchor = location.hash.length > 1 && !isSearch
  if (isAnchor) return
  const search = {
    text: address.get('q') ?? '',
    by: address.get('by') ?? '',
    status: address.get('status') ?? '',
  }
  if (setSearch(search)) refreshMessages().catch(fail)
}

/** The address to go back to when what is open is closed. */
let behind = ''

const wireAddress = () => {
  addEventListener('hashchange', (event) => {
    const before = new URLSearchParams(new URL(event.oldURL).hash.slice(1))
    if (!DETAIL_KINDS.some((one) => before.has(one))) behind = new URL(event.oldURL).hash
    readAddress()
  })
  const dialog = byId('detail')
  dialog.addEventListener('close', () => {
    const now = new URLSearchParams(location.hash.slice(1))
    if (!DETAIL_KINDS.some((one) => now.has(one))) return
    history.pushState(null, '', `${location.pathname}${behind}`)
    hideDetail()
  })
  dialog.addEventListener('click', (event) => {
    if (event.target === dialog) dialog.close()
  })
  byId('detail-close').addEventListener('click', () => dialog.close())
}

const wireZone = () => {
  const button = byId('zone')
  const show = () => {
    button.textContent = usesUtc() ? 'UTC' : 'local'
    button.setAttribute('aria-label', `Times are ${usesUtc() ? 'UTC' : 'local'}; switch`)
    refreshTimes()
    refreshClocks()
  }
  useUtc(localStorage.getItem('junctura-zone') === 'utc')
  show()
  button.addEventListener('click', () => {
    useUtc(!usesUtc())
    localStorage.setItem('junctura-zone', usesUtc() ? 'utc' : 'local')
    show()
  })
}

const wireKeys = () => {
  addEventListener('keydown', (event) => {
    const isTyping = event.target.closest('input, select, textarea, dialog') !== null
    if (event.key !== '/' || isTyping || event.ctrlKey || event.metaKey || event.altKey) return
    event.preventDefault()
    byId('search-text').focus()
  })
}

wireZone()
wireAddress()
wireKeys()
wireLive()
wireSearch((search) => {
  const address = new URLSearchParams()
  if (search.text !== '') address.set('q', search.text)
  if (search.by !== '' && search.text !== '') address.set('by', search.by)
  if (search.status !== '') address.set('status', search.status)
  const hash = address.size === 0 ? '' : `#${address}`
  if (location.hash === hash) {
    refreshMessages().catch(fail)
    return
  }
  history.pushState(null, '', `${location.pathname}${hash}`)
  readAddress()
}, fail)
byId('token-form').addEventListener('submit', (event) => {
  event.preventDefault()
  setToken(byId('token').value.trim())
  void refresh()
})
document.addEventListener('visibilitychange', () => plan(0))
addEventListener('popstate', readAddress)
setInterval(refreshTimes, 1_000)
void refresh()
