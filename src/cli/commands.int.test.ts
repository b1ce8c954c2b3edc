import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { buildPackage, type BuiltPackage, runProgram } from '../../test/cli/built-package.ts'
import { checkOutput } from '../../test/cli/fake-io.ts'
import { compileValidator } from '../schema/index.ts'
import { renderProject } from './new-template.ts'
import type { ReadyReport } from './serve-integration.ts'

const PORTS = ['--port', '0', '--management-port', '0']

let built: BuiltPackage
beforeAll(async () => void (built = await buildPackage()))
afterAll(() => built.remove())

const files = (changes: readonly (readonly [from: string, to: string])[] = []) => {
  const project = { name: 'shop', juncturaVersion: '*', bringsNode: false }
  let text = renderProject(project)['integration.ts'] ?? ''
  for (const [from, to] of changes) {
    expect(text).toContain(from)
    text = text.replace(from, to)
  }
  return { 'package.json': '{ "type": "module" }', 'integration.ts': text }
}

/** A running project, and the commands pointed at it. */
const serve = async (
  name: string,
  changes: readonly (readonly [string, string])[] = [],
  args: readonly string[] = [],
) => {
  const cwd = built.project(name, files(changes))
  const server = built.start(cwd, ['start', 'integration.ts', ...PORTS, ...args])
  await server.until('out', /\n/)
  const ready: ReadyReport = JSON.parse(server.out())
  const port = new URL(ready.url).port
  const command = (...words: string[]) => {
    const isSend = words[0] === 'send' ? ['--port', port] : []
    return built.run(cwd, [...words, ...isSend, '--management-url', ready.managementUrl])
  }
  const json = async (...words: string[]) => {
    const ended = await command(...words, '--json')
    return { code: ended.code, output: checkOutput(JSON.parse(ended.out)) }
  }
  return { cwd, server, ready, command, json }
}

/** Asks again until it is so: the effects of a message come after its answer. */
const eventually = async <T>(look: () => Promise<T | undefined>): Promise<T> => {
  for (;;) {
    const found = await look()
    if (found !== undefined) return found
  }
}

const ledgerRows = (cwd: string) => {
  const database = new DatabaseSync(join(cwd, '.junctura/junctura.db'), { readOnly: true })
  try {
    return database.prepare('select order_id, message_id from ledger order by seq').all()
  } finally {
    database.close()
  }
}

const FAILING = [
  '    // The row,',
  "    if (order.orderId.startsWith('POISON-')) throw new RangeError('out of stock')\n    // The row,",
] as const
const QUICK = ["{ attempts: 5, first: '1s'", "{ attempts: 2, first: '10ms'"] as const

describe('start', () => {
  it('prints one line of JSON when it takes messages, and drains on SIGTERM', async () => {
    const { cwd, server, ready, json } = await serve('serving')
    const sent = await json('send', 'orders', '--dup', '5')
    server.kill('SIGTERM')
    const { code, out, err } = await server.ended

    expect(code).toBe(0)
    expect(out.trimEnd().split('\n').length).toBe(1)
    expect(checkOutput(ready)).toMatchObject({
      name: 'shop',
      pid: server.pid,
      consumers: ['ledger'],
      store: {
        engine: 'sqlite',
        durability: 'fsync',
        unitOfOrder: 'key',
        directory: join(cwd, '.junctura'),
      },
      webhooks: [{ name: 'orders', path: '/webhooks/orders', url: `${ready.url}/webhooks/orders` }],
    })
    expect(sent).toMatchObject({ code: 0, output: { accepted: 1, duplicates: 4 } })
    expect(ledgerRows(cwd).length).toBe(1)
    const log = err.trimEnd().split('\n')
    expect(log.map((line) => JSON.parse(line).message)).toContain('draining')
    expect(err).toContain('ORDERS_WEBHOOK_SECRET')
  })

  it('takes no more from one address than --rate-per-address says: 429 with Retry-After (F95)', async () => {
    const { server, ready } = await serve('rated', [], ['--rate-per-address', '1/h'])
    const url = ready.webhooks[0]?.url ?? ''
    const send = () => fetch(url, { method: 'POST', body: '{}' })
    const first = await send()
    const second = await send()
    server.kill('SIGTERM')
    await server.ended

    expect([first.status, second.status]).toEqual([415, 429])
    expect(Number(second.headers.get('retry-after'))).toBeGreaterThan(3_500)
  })

  it('counts the rate by the sender behind --trusted-proxy (F102)', async () => {
    const proxies = ['--trusted-proxy', '192.0.2.0/24', '--trusted-proxy', '127.0.0.1']
    const { server, ready } = await serve('proxied', [], ['--rate-per-address', '1/h', ...proxies])
    const url = ready.webhooks[0]?.url ?? ''
    const send = (forwardedFor: string) =>
      fetch(url, { method: 'POST', body: '{}', headers: { 'x-forwarded-for': forwardedFor } })
    const answers = [
      await send('198.51.100.1'),
      await send('1.1.1.1, 198.51.100.1'),
      await send('198.51.100.2, 192.0.2.1'),
    ]
    server.kill('SIGTERM')
    await server.ended

    expect(answers.map(({ status }) => status)).toEqual([415, 429, 415])
  })

  it('refuses to start with every finding and its fix, and exits with 1', async () => {
    const cwd = built.project('refused', files([["  replay: 'safe',\n", '']]))
    const text = await built.run(cwd, ['start', 'integration.ts', ...PORTS])
    const model = await built.run(cwd, ['model', 'integration.ts', '--json'])

    expect(text.code).toBe(1)
    expect(text.err).toContain('JUNCTURA_REFUSED_START')
    expect(text.err).toContain("write replay: 'safe', 'guarded' or 'never'")
    expect(text.err).toMatch(/integration\.ts:\d+/)
    expect(model.code).toBe(1)
    expect(checkOutput(JSON.parse(model.out))).toMatchObject({
      findings: [{ rule: 'replay-rule' }],
    })
  })

  it('exits with 1 and a fix for what is not there, exports nothing, or cannot be loaded', async () => {
    const cwd = built.project('unusable', {
      'package.json': '{ "type": "module" }',
      'empty.ts': 'export const a = 1\n',
      'throws.ts': "throw new TypeError('at load')\n",
      'enum.ts': 'enum A { B }\nexport default A\n',
      'imports.ts': "import './missing.ts'\n",
      'two.ts': [
        "import { integration } from 'junctura'",
        "export const a = integration('a', { parts: [] })",
        "export const b = integration('b', { parts: [] })",
      ].join('\n'),
    })
    const results = await Promise.all(
      ['absent.ts', 'empty.ts', 'throws.ts', 'enum.ts', 'imports.ts', 'two.ts'].map((file) =>
        built.run(cwd, ['start', file, ...PORTS, '--json']),
      ),
    )

    const failures = results.map(({ out }) => checkOutput(JSON.parse(out)))
    expect(results.map(({ code }) => code)).toEqual([1, 1, 1, 1, 1, 1])
    expect(failures.map(({ code }) => code)).toEqual(Array(6).fill('JUNCTURA_ENTRY_UNUSABLE'))
    expect(failures.map(({ message }) => message)).toEqual([
      expect.stringContaining('there is no such file'),
      expect.stringContaining('nothing that it exports is one'),
      expect.stringMatching(/at load \(.*throws\.ts:1/),
      expect.stringContaining('enum'),
      expect.stringContaining('missing.ts'),
      expect.stringContaining('it exports several: a, b'),
    ])
  })

  it('F28: refuses a data directory that another process uses, naming it', async () => {
    const { cwd, server } = await serve('locked')
    const second = await built.run(cwd, ['start', 'integration.ts', ...PORTS])
    const doctor = await built.run(cwd, ['doctor', '--json', ...PORTS])
    server.kill('SIGKILL')
    await server.ended
    const third = built.start(cwd, ['start', 'integration.ts', ...PORTS])
    await third.until('out', /"kind":"ready"/)

    expect(second.code).toBe(1)
    expect(second.err).toContain('JUNCTURA_STORE_LOCKED')
    expect(second.err).toContain(String(server.pid))
    expect(doctor.out).toContain(`in use by process ${server.pid}`)
  })

  it('exits with 1 when a port is taken, and leaves nothing locked', async () => {
    const { ready, server } = await serve('taken')
    const { port } = new URL(ready.url)
    const cwd = built.project('taken-by', files())
    const args = ['--port', port, '--management-port', '0']
    const refused = await built.run(cwd, ['start', 'integration.ts', ...args])
    server.kill('SIGTERM')
    await server.ended

    expect(refused.code).toBe(1)
    expect(refused.err).toContain('EADDRINUSE')
    expect(refused.err).toContain('choose another port')
  })

  it('F15: goes on after a promise that a handler forgot', async () => {
    const forgets = [
      '    // The row,',
      "    void Promise.reject(new Error('forgotten'))\n    // The row,",
    ] as const
    const { cwd, server, json } = await serve('forgetful', [forgets])
    await json('send', 'orders')
    await server.until('err', /caught by nobody; the process goes on/)
    const second = await json('send', 'orders')
    const rows = await eventually(async () => {
      const found = ledgerRows(cwd)
      return found.length === 2 ? found : undefined
    })

    expect(second.code).toBe(0)
    expect(rows.length).toBe(2)
    expect(server.err()).toContain('forgotten')
  })

  it('F15: ends with 70 after an exception from nowhere, and redelivers at the next start', async () => {
    const explodes = [
      '    // The row,',
      [
        "    const mark = new URL('exploded', import.meta.url)",
        '    if (!existsSync(mark)) {',
        "      writeFileSync(mark, '')",
        "      setTimeout(() => { throw new Error('out of nowhere') }, 1)",
        '      await new Promise(() => undefined)',
        '    }',
        '    // The row,',
      ].join('\n'),
    ] as const
    const imports = [
      'import {\n',
      "import { existsSync, writeFileSync } from 'node:fs'\nimport {\n",
    ] as const
    const { cwd, server, json } = await serve('exploding', [explodes, imports])
    await json('send', 'orders')
    const crashed = await server.ended
    const again = built.start(cwd, ['start', 'integration.ts', ...PORTS])
    await again.until('out', /"kind":"ready"/)
    const rows = await eventually(async () => {
      const found = ledgerRows(cwd)
      return found.length > 0 ? found : undefined
    })

    expect(crashed.code).toBe(70)
    expect(crashed.err).toContain('out of nowhere')
    expect(rows.length).toBe(1)
  })

  it('ends at once on a second signal', async () => {
    const hangs = [
      '    // The row,',
      '    await new Promise(() => undefined)\n    // The row,',
    ] as const
    const { server, json } = await serve('hanging', [hangs], ['--drain-timeout', '60s'])
    await json('send', 'orders')
    server.kill('SIGINT')
    await server.until('err', /"draining"/)
    server.kill('SIGINT')

    expect((await server.ended).code).toBe(130)
  })

  it('asks for a token on every address but loopback', async () => {
    const cwd = built.project('open', files())
    const open = ['start', 'integration.ts', ...PORTS, '--management-host', '0.0.0.0']
    const refused = await built.run(cwd, open)
    const server = built.start(cwd, open, {
      JUNCTURA_TOKEN: 'a-token-that-is-long-enough-to-be-one',
    })
    await server.until('out', /\n/)
    const { managementUrl }: ReadyReport = JSON.parse(server.out())
    const ask = (token: string) =>
      built.run(cwd, ['consumers', '--management-url', managementUrl], { JUNCTURA_TOKEN: token })

    expect(refused.code).toBe(1)
    expect((await ask('')).code).toBe(1)
    expect((await ask('a-token-that-is-long-enough-to-be-one')).code).toBe(0)
  })
})

describe('the commands on a running integration', () => {
  it('lead from a failing handler to its mended replay', async () => {
    const { cwd, server, json, command } = await serve('mending', [FAILING, QUICK])
    const sent = await json('send', 'orders', '--set', 'orderId=POISON-{n}', '--count', '3')
    const groups = await eventually(async () => {
      const { output, code } = await json('dlq', 'groups', '--check')
      return output.items?.[0]?.count === 3 ? { output, code } : undefined
    })
    const [group] = groups.output.items
    const [id] = (await json('dlq', 'list')).output.items.map((letter: { id: string }) => letter.id)
    const shown = await json('dlq', 'show', id)
    const trace = await json('trace', shown.output.item.messageId)
    const alerts = await json('alerts')
    server.kill('SIGTERM')
    await server.ended
    writeFileSync(join(cwd, 'integration.ts'), files()['integration.ts'])
    const mended = built.start(cwd, ['start', 'integration.ts', ...PORTS])
    await mended.until('out', /\n/)
    const { managementUrl }: ReadyReport = JSON.parse(mended.out())
    const at = (...words: string[]) =>
      built.run(cwd, [...words, '--management-url', managementUrl, '--json'])
    const plan = checkOutput(JSON.parse((await at('replay', 'plan', '--cause', group.cause)).out))
    const run = await at('replay', 'run', plan.item.id, '--watch', '--reason', 'stock is back')
    const after = await at('dlq', 'groups', '--check')
    const operations = checkOutput(JSON.parse((await at('operations')).out))

    expect(sent.code).toBe(0)
    expect(groups.code).toBe(1)
    expect(group).toMatchObject({ consumer: 'ledger', count: 3, keys: 3 })
    expect(shown.output.item).toMatchObject({ attempts: 2, errorName: 'RangeError' })
    expect(trace.output.item).toMatchObject({ status: 'dead', consumers: [{ consumer: 'ledger' }] })
    expect(alerts.output.items.length).toBeGreaterThan(0)
    expect(plan.item.plan).toMatchObject({ total: 3, keys: 3 })
    expect([run.code, checkOutput(JSON.parse(run.out)).item.state]).toEqual([0, 'done'])
    expect(after.code).toBe(0)
    expect(operations.items[0]).toMatchObject({ command: 'replay.run', reason: 'stock is back' })
    expect(ledgerRows(cwd).length).toBe(3)
    expect((await command('consumers')).code).toBe(69)
  })

  it('show what the border refused, and what is published past it', async () => {
    const { json, command } = await serve('refusing')
    const wrong = await Promise.all(
      ['schema', 'signature', 'timestamp'].map((how) => json('send', 'orders', '--invalid', how)),
    )
    const emitted = await json('emit', 'orders.changed')
    const invalid = await json('invalid', 'groups', '--check')
    const [{ id }] = (await json('invalid', 'list')).output.items
    const shown = await json('invalid', 'show', id)
    const plan = await json('invalid', 'readmit', '--webhook', 'orders', '--plan')
    const planText = await command('invalid', 'readmit', '--webhook', 'orders', '--plan')
    const dropped = await json('invalid', 'drop', id, '--yes')
    const tail = await command(
      'tail',
      '--last',
      '100',
      '--limit',
      '1',
      '--kind',
      'invalid',
      '--json',
    )
    const refused = await json('emit', 'orders.changed', '--data', '{}')

    expect(wrong.map(({ code, output }) => [code, output.statuses])).toEqual([
      [0, { 422: 1 }],
      [0, { 401: 1 }],
      [0, { 401: 1 }],
    ])
    expect(emitted.output.ids.length).toBe(1)
    expect(invalid.code).toBe(1)
    expect(shown.output.item.errors.length).toBeGreaterThan(0)
    expect([plan.code, dropped.code, tail.code]).toEqual([0, 0, 0])
    expect(plan.output.result).toMatchObject({ planned: 1, wouldAdmit: 0, wouldStayInvalid: 1 })
    expect(planText.out).toContain(`such as ${id}`)
    expect(checkOutput(JSON.parse(tail.out)).event.kind).toBe('invalid')
    expect([refused.code, refused.output.code]).toEqual([1, 'JUNCTURA_EMIT_INVALID'])
  })
})

describe('doctor', () => {
  it('finds nothing to fail in a sound project, and reads its whole store', async () => {
    const { cwd, server, json } = await serve('sound')
    await json('send', 'orders')
    server.kill('SIGTERM')
    await server.ended
    const { code, out } = await built.run(cwd, [
      'doctor',
      'integration.ts',
      '--deep',
      '--json',
      ...PORTS,
    ])

    const report = checkOutput(JSON.parse(out))
    const byName = Object.fromEntries(
      report.checks.map((check: { name: string; state: string }) => [check.name, check.state]),
    )
    expect(code).toBe(0)
    expect(byName).toMatchObject({
      node: 'ok',
      store: 'ok',
      'store content': 'ok',
      integration: 'ok',
      'secret of orders': 'warn',
    })
  })

  it('names a damaged store, and salvages it on request', async () => {
    const { cwd, server, json } = await serve('damaged')
    await json('send', 'orders', '--count', '20')
    server.kill('SIGTERM')
    await server.ended
    const path = join(cwd, '.junctura/junctura.db')
    const bytes = readFileSync(path)
    // The first byte of a page says what kind it is; none is of this kind.
    for (let page = 1; page <= 3; page++) bytes[bytes.length - page * 4096] = 0xff
    writeFileSync(path, bytes)
    const found = await built.run(cwd, ['doctor', '--json', ...PORTS])
    const refused = await built.run(cwd, ['start', 'integration.ts', ...PORTS])
    const unasked = await built.run(cwd, ['doctor', '--repair', ...PORTS])
    const repaired = await built.run(cwd, ['doctor', '--repair', '--yes', '--json', ...PORTS])

    expect([found.code, refused.code, unasked.code]).toEqual([1, 1, 64])
    expect(found.out).toContain('is damaged')
    expect(refused.err).toContain('JUNCTURA_STORE_DAMAGED')
    expect(repaired.out).toContain('messages and')
    expect(repaired.code).toBe(0)
  })
})

describe('model', () => {
  it('prints the Model as its schema says, without starting anything', async () => {
    const cwd = built.project('modelled', files())
    const { code, out } = await built.run(cwd, ['model', 'integration.ts', '--json'])
    const schema = readFileSync(new URL('../../schemas/model.schema.json', import.meta.url), 'utf8')

    const { model, findings } = checkOutput(JSON.parse(out))
    expect(compileValidator(JSON.parse(schema), 'model').validate(model)).toEqual({ ok: true })
    expect([code, findings]).toEqual([0, []])
    expect(existsSync(join(cwd, '.junctura'))).toBe(false)
  })
})

describe('new', () => {
  it('writes a project that type-checks and runs', async () => {
    const parent = built.project('parent')
    const { code } = await built.run(parent, ['new', 'made'])
    const cwd = join(parent, 'made')
    const tsc = new URL('../../node_modules/.bin/tsc', import.meta.url).pathname
    const checked = await runProgram([tsc, '-p', '.'], { cwd })
    const server = built.start(cwd, ['start', 'integration.ts', ...PORTS])
    await server.until('out', /"kind":"ready"/)

    expect(code).toBe(0)
    expect([checked.code, checked.out]).toEqual([0, ''])
  })
})

describe('dev', () => {
  it('shows what happens, and restarts when a source changes', async () => {
    const cwd = built.project('developing', files())
    const dev = built.start(cwd, ['dev', 'integration.ts', ...PORTS])
    const [, first = ''] = await dev.until('out', /page (http:\S+)/)
    const [, url = ''] = await dev.until('out', /POST (http:\S+)\/webhooks/)
    const words = ['send', 'orders', '--url', url, '--management-url', first]
    const sent = await built.run(cwd, words)
    await dev.until('out', /attempt +ledger +done/)
    writeFileSync(join(cwd, 'integration.ts'), files([["'ledger'", "'book'"]])['integration.ts'])
    await dev.until('out', /restarting: integration\.ts changed/)
    await dev.until('out', /consumers: book/)
    writeFileSync(join(cwd, 'integration.ts'), 'export default 1\n')
    await dev.until('err', /it ended with 1; mend it and save/)
    writeFileSync(join(cwd, 'integration.ts'), files([["'ledger'", "'third'"]])['integration.ts'])
    await dev.until('out', /consumers: third/)
    dev.kill('SIGTERM')
    const ended = await dev.ended

    expect(sent.code).toBe(0)
    expect(ended.code).toBe(0)
    expect(ended.out).toContain('ORDERS_WEBHOOK_SECRET')
  })

  it('ends when it is told to while it restarts', async () => {
    const cwd = built.project('impatient', files())
    const dev = built.start(cwd, ['dev', 'integration.ts', ...PORTS])
    await dev.until('out', /page http/)
    writeFileSync(join(cwd, 'integration.ts'), files([["'ledger'", "'book'"]])['integration.ts'])
    await dev.until('out', /draining/)
    dev.kill('SIGTERM')
    const { code, out } = await dev.ended

    expect(code).toBe(0)
    expect(out).not.toContain('consumers: book')
  })

  it('leaves nothing running behind when it is killed', async () => {
    const cwd = built.project('killed', files())
    const dev = built.start(cwd, ['dev', 'integration.ts', ...PORTS])
    await dev.until('out', /page http/)
    dev.kill('SIGKILL')
    await dev.ended
    const next = await eventually(async () => {
      const server = built.start(cwd, ['start', 'integration.ts', ...PORTS])
      return server.until('out', /"kind":"ready"/).catch(() => undefined)
    })

    expect(next[0]).toContain('ready')
  })
})
