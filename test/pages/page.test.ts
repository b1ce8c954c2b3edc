import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { createSystemKernel } from '../../src/kernel/index.ts'
import {
  createManagementApi,
  type ManagementListener,
  startManagementListener,
} from '../../src/manage/index.ts'
import { CANARY, ids, showIncident } from './incident.fixture.ts'
import { scriptedRuntime, type ScriptedRuntime } from './scripted-runtime.fixture.ts'

const EXECUTABLE = process.env['CHROMIUM_PATH'] ?? '/usr/bin/chromium'
const PHONE = { width: 390, height: 844 }
const kernel = createSystemKernel()
const wanted = process.env['PAGE_SCREENSHOTS']
const screenshots = wanted ?? mkdtempSync(join(tmpdir(), 'junctura-page-'))

let browser: Browser
const closing: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  browser = await chromium.launch({
    executablePath: EXECUTABLE,
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--no-first-run',
    ],
  })
})

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

afterAll(async () => {
  await browser.close()
  // Kept only where somebody asked for them.
  if (wanted === undefined) rmSync(screenshots, { recursive: true, force: true })
})

interface Shown {
  readonly page: Page
  readonly runtime: ScriptedRuntime
  readonly listener: ManagementListener
  /** What the browser complained about: errors, refused content, foreign requests. */
  readonly complaints: string[]
}

interface ShowOptions {
  readonly context?: BrowserContextOptions
  readonly hash?: string
  readonly token?: string
  readonly prepare?: (runtime: ScriptedRuntime) => void
}

async function show(options: ShowOptions = {}): Promise<Shown> {
  const runtime = scriptedRuntime(kernel)
  options.prepare?.(runtime)
  const { token } = options
  const api = createManagementApi({ runtime, ...(token !== undefined && { token }) })
  const listener = await startManagementListener({ api, clock: kernel.clock, port: 0 })
  closing.push(() => listener.close(0))
  const context = await browser.newContext({
    viewport: { width: 1440, height: 1000 },
    timezoneId: 'Europe/Berlin',
    ...options.context,
  })
  closing.push(() => context.close())
  const page = await context.newPage()
  const complaints: string[] = []
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text())
  })
  page.on('pageerror', (error) => complaints.push(error.message))
  page.on('request', (request) => {
    if (!request.url().startsWith(listener.url)) complaints.push(`foreign: ${request.url()}`)
  })
  await page.goto(`${listener.url}/${options.hash ?? ''}`)
  if (token === undefined) await page.locator('.connection-live').waitFor()
  return { page, runtime, listener, complaints }
}

const overflowOf = (page: Page): Promise<number> =>
  page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')

const canaryOf = (page: Page): Promise<unknown> => page.evaluate('window.canary')

const snap = (page: Page, name: string): Promise<unknown> =>
  page.screenshot({ path: join(screenshots, `${name}.png`), fullPage: true })

describe('the page of the management listener', () => {
  it('says that all is well when it is', async () => {
    const { page, complaints } = await show()
    await page.getByText('Everything is running.').waitFor()
    expect(await page.locator('#name').textContent()).toBe('order-status')
    expect(await page.title()).toBe('● order-status · Junctura')
    expect(await page.getByText('No open alerts.').count()).toBe(1)
    expect(await page.locator('#consumers-note').textContent()).toBe('all caught up')
    await snap(page, 'well')
    expect(complaints).toEqual([])
  })

  it('shows what is wrong, whose it is, and since when', async () => {
    const { page, complaints } = await show({ prepare: showIncident })
    await page.getByText('2 things need somebody.').waitFor()
    const status = await page.locator('#status').innerText()
    expect(status).toContain('312 dead letters wait for finance team since 02:47 UTC')
    expect(await page.locator('.tile').count()).toBe(5)
    expect(await page.locator('.tile-bad').innerText()).toMatch(/Dead letters\s+312/)
    expect(await page.locator('.alert').first().innerText()).toMatch(/finance team · 312 times/)
    const finance = page.locator('#consumers-body tr', { hasText: 'finance' })
    expect(await finance.innerText()).toMatch(/1,204\s+24 min 20 s\s+8\s+41\s+305\s+312/)
    expect(await page.locator('#webhooks-body').innerText()).toContain('3 messages, longest 318×')
    await page.locator('.group summary').first().click()
    expect(await page.locator('.group[open]').innerText()).toContain('junctura dlq retry --cause')
    await snap(page, 'incident')
    expect(complaints).toEqual([])
  })

  it('shows hostile values as text, everywhere (F56, F144)', async () => {
    const { page, runtime, complaints } = await show({ prepare: showIncident })
    const publish = runtime.events.publish
    publish({ kind: 'log', consumer: CANARY, messageId: ids('msg', 1), message: CANARY })
    publish({ kind: 'refused', webhook: CANARY, status: 401, code: CANARY, reason: CANARY })
    publish({ kind: 'alert', alertId: 'a', state: CANARY, title: CANARY, count: 1 })
    await page.locator('#live-body li', { hasText: 'onerror' }).nth(2).waitFor()
    const shown = await page.locator('#messages-body').innerText()
    // The mark that reorders text is shown as its escape.
    expect(shown).toContain('<img src=x onerror="window.canary=1">')
    expect(shown).toContain('\\u202e')
    for (const hash of [
      `#message=${ids('msg', 1)}`,
      `#dead-letter=${ids('dead', 1)}`,
      `#invalid=${ids('inv', 1)}`,
    ]) {
      await page.goto(`${page.url().split('#')[0]}${hash}`)
      await page.locator('#detail pre', { hasText: 'onerror' }).first().waitFor()
      expect(await page.locator('dialog img, dialog script, #content img').count()).toBe(0)
    }
    expect(await canaryOf(page)).toBeUndefined()
    expect(complaints).toEqual([])
  })

  it('shows what happens as it happens, and looks again by itself', async () => {
    const { page, runtime, complaints } = await show()
    await page.getByText('Nothing waits for somebody', { exact: false }).waitFor()
    showIncident(runtime)
    runtime.events.publish({
      kind: 'dead-letter',
      consumer: 'finance',
      deadLetterId: ids('dead', 1),
      messageId: ids('msg', 1),
      key: 'ORDER-1',
      cause: 'c',
    })
    await page.locator('#live-body', { hasText: 'finance: ORDER-1' }).waitFor({ timeout: 2_000 })
    await page.locator('.tile-bad', { hasText: '312' }).waitFor({ timeout: 4_000 })
    expect(complaints).toEqual([])
  })

  it('holds the feed while paused and catches up after', async () => {
    const { page, runtime } = await show()
    await page.getByRole('button', { name: 'Pause' }).click()
    runtime.events.publish({ kind: 'published', messageId: ids('msg', 3), type: 'a.b', key: 'K-1' })
    await page.getByText('1 waiting').waitFor()
    expect(await page.locator('#live-body li').count()).toBe(0)
    await page.getByRole('button', { name: 'Resume' }).click()
    await page.locator('#live-body', { hasText: 'K-1' }).waitFor()
    expect(await page.locator('#live-note').textContent()).toBe('')
  })

  it('comes back by itself after a restart, says so, and misses nothing of the new run', async () => {
    const { page, runtime, listener } = await show()
    runtime.events.publish({ kind: 'published', messageId: ids('msg', 3), type: 'a.b', key: 'OLD' })
    await page.locator('#live-body', { hasText: 'OLD' }).waitFor()
    await listener.close(0)
    await page.getByText('The runtime does not answer.').waitFor()
    expect(await page.locator('#connection').textContent()).toBe('reconnecting')
    const next = { ...scriptedRuntime(kernel), startedAtMs: kernel.clock.now() }
    next.events.publish({ kind: 'published', messageId: ids('msg', 4), type: 'a.b', key: 'NEW' })
    const api = createManagementApi({ runtime: next })
    const again = await startManagementListener({ api, clock: kernel.clock, port: listener.port })
    closing.push(() => again.close(0))
    await page.locator('#live-body', { hasText: 'NEW' }).waitFor()
    expect(await page.locator('#live-body .gap').textContent()).toBe('the runtime was restarted')
    await page.getByText('Everything is running.').waitFor()
  })

  it('finds a message by key, keeps the search in the address, and says how far it looked', async () => {
    const { page, runtime, complaints } = await show({ prepare: showIncident })
    await page.keyboard.press('/')
    await page.keyboard.type('ORDER-4709')
    await page.keyboard.press('Enter')
    await page.getByText('Searched the whole log.').waitFor()
    expect(await page.locator('#messages-body tbody tr').count()).toBe(1)
    expect(page.url()).toContain('#q=ORDER-4709')
    runtime.shows.complete = false
    await page.reload()
    await page.getByText('Older ones may match.', { exact: false }).waitFor()
    await page.getByRole('button', { name: 'Search further' }).click()
    await page.locator('#messages-body tbody tr').nth(1).waitFor()
    // The page also looks at other things by itself meanwhile.
    const search = runtime.asked.findLast(({ method }) => method === 'messages')
    expect(search?.with).toMatchObject({ key: 'ORDER-4709', after: '17' })
    await page.getByRole('button', { name: 'Clear' }).click()
    await page.locator('#messages-body tbody tr').nth(7).waitFor()
    expect(complaints).toEqual([])
  })

  it('opens one message: border, attempts, masked payload; Escape goes back', async () => {
    const { page, complaints } = await show({ prepare: showIncident })
    await page.locator('#messages-body a.id').first().click()
    const detail = page.locator('#detail')
    await detail.getByText('standard-webhooks, secret 1', { exact: false }).waitFor()
    const text = await detail.innerText()
    expect(text).toContain('"email": "•••"')
    expect(text).toContain('LedgerClosed')
    await snap(page, 'message')
    await detail.locator('a.id', { hasText: ids('dead', 1) }).click()
    await detail.getByText('2 messages of the same key behind it').waitFor()
    await snap(page, 'dead-letter')
    await page.keyboard.press('Escape')
    await detail.waitFor({ state: 'hidden' })
    // The browser tells the page of the closing a moment after it.
    await page.waitForURL((url) => url.hash === '')
    expect(complaints).toEqual([])
  })

  it('says when there is nothing with an id', async () => {
    const { page } = await show({ hash: '#message=msg_gone' })
    const said = page.getByText('There is nothing with this id.')
    await said.waitFor()
    expect(await said.isVisible()).toBe(true)
  })

  it('asks for the token, keeps it for the tab, and shows nothing without it', async () => {
    const token = 'a-token-for-this-page'
    const { page } = await show({ token })
    await page.getByLabel('This listener asks for its token.').fill('wrong-token')
    await page.getByRole('button', { name: 'Continue' }).click()
    expect(await page.locator('#content').isVisible()).toBe(false)
    await page.getByLabel('This listener asks for its token.').fill(token)
    await page.getByRole('button', { name: 'Continue' }).click()
    await page.getByText('Everything is running.').waitFor()
    await page.reload()
    await page.getByText('Everything is running.').waitFor()
    expect(page.url()).not.toContain(token)
  })

  it.each(['light', 'dark'] as const)('fits a phone, in %s', async (colorScheme) => {
    const { page, complaints } = await show({
      prepare: showIncident,
      context: { viewport: PHONE, colorScheme, isMobile: true, hasTouch: true },
    })
    await page.getByText('2 things need somebody.').waitFor()
    expect(await overflowOf(page)).toBe(0)
    await page.locator('.group summary').first().click()
    expect(await overflowOf(page)).toBe(0)
    await snap(page, `phone-${colorScheme}`)
    await page.locator('#messages-body a.id').first().click()
    await page.locator('#detail pre').first().waitFor()
    expect(await overflowOf(page)).toBe(0)
    expect(await page.evaluate('document.getElementById("detail-body").scrollWidth <= 390')).toBe(
      true,
    )
    await page.screenshot({ path: join(screenshots, `phone-message-${colorScheme}.png`) })
    expect(complaints).toEqual([])
  })
})
