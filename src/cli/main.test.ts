import { describe, expect, it } from 'vitest'
import { runCli } from '../../test/cli/fake-io.ts'
import { ERROR_CODES } from '../kernel/index.ts'

describe('the command line', () => {
  it('exits with 64 for an unknown command, option, argument or value', async () => {
    const lines = [
      ['nothing'],
      ['tail', '--nothing'],
      ['trace'],
      ['dlq', 'list', '--limit', '0'],
      ['dlq', 'list', '--limit', '501'],
      ['send', 'acme', '--rate', 'fast'],
      ['start', 'x.ts', '--port', '65536'],
      ['dlq', 'retry'],
      ['dlq', 'retry', 'dead_1', '--cause', 'c'],
    ]
    for (const line of lines) {
      const { code, io } = await runCli(line)
      expect([line, code, io.err() !== '']).toEqual([line, 64, true])
      expect(io.out()).toBe('')
    }
  })

  it('prints a usage error as one JSON object and nothing else under --json', async () => {
    const { code, io } = await runCli(['tail', '--json', '--nothing'])

    expect(code).toBe(64)
    expect(io.json()).toMatchObject({ kind: 'error', code: 'JUNCTURA_USAGE' })
    expect(io.err()).toBe('')
  })

  it('exits with 64 and shows the commands when none is given', async () => {
    const { code, io } = await runCli([])

    expect(code).toBe(64)
    expect(io.err()).toContain('Commands:')
  })

  it('exits with 0 for help and version', async () => {
    const help = await runCli(['help', 'send'])
    const version = await runCli(['--version'])

    expect([help.code, version.code]).toEqual([0, 0])
    expect(help.io.out()).toContain('--dup <n>')
    expect(version.io.out()).toMatch(/^\d+\.\d+\.\d+/)
  })

  it('exits with 69 and says where and how to start when nothing answers', async () => {
    const { code, io } = await runCli(['consumers', '--management-port', '7999'])

    expect(code).toBe(69)
    expect(io.err()).toContain('JUNCTURA_UNREACHABLE')
    expect(io.err()).toContain('http://127.0.0.1:7999')
    expect(io.err()).toContain('junctura start FILE')
    expect(io.err()).toContain('docs/reference/errors.md#junctura_unreachable')
  })

  it('exits with 69 when something else than Junctura answers', async () => {
    const page = { status: 404, body: 'a page' }
    const { code, io } = await runCli(['consumers', '--json'], { routes: { '*': page } })

    expect(code).toBe(69)
    expect(io.json()).toMatchObject({ kind: 'error', code: 'JUNCTURA_UNREACHABLE' })
  })

  it('exits with 1 for a refusal, with its own code, message and fix', async () => {
    const problem = {
      status: 409,
      body: { code: 'JUNCTURA_OPERATION_REFUSED', detail: 'It runs.', fix: 'Take it out first.' },
    }
    const { code, io } = await runCli(['consumers', 'retire', 'finance', '--yes', '--json'], {
      routes: { 'POST /api/v1/operations': problem },
    })

    expect(code).toBe(1)
    expect(io.json()).toMatchObject({
      code: 'JUNCTURA_OPERATION_REFUSED',
      message: 'It runs.',
      fix: 'Take it out first.',
      page: 'docs/reference/errors.md#junctura_operation_refused',
    })
  })

  it('tells a refused parameter from a service that cannot answer now and from a defect', async () => {
    const withStatus = (status: number, code: string) =>
      runCli(['consumers'], { routes: { '*': { status, body: { code, detail: 'x' } } } })

    const codes = [
      (await withStatus(400, 'JUNCTURA_PARAMETER_INVALID')).code,
      (await withStatus(503, 'JUNCTURA_STORE_BUSY')).code,
      (await withStatus(500, 'JUNCTURA_INTERNAL')).code,
    ]
    expect(codes).toEqual([64, 69, 70])
  })

  it('exits with 70 and shows the stack for a defect', async () => {
    const broken = () => Promise.reject(new TypeError('undefined is not a function'))
    const { code, io } = await runCli(['consumers'], { routes: { '*': broken } })

    expect(code).toBe(70)
    expect(io.err()).toContain('JUNCTURA_INTERNAL: undefined is not a function')
    expect(io.err()).toContain('main.test.ts')
  })

  it('asks for a token where one is needed, and sends the one of the environment', async () => {
    const routes = {
      'GET /api/v1/consumers': ({ headers }: { headers: Readonly<Record<string, string>> }) =>
        headers['authorization'] === 'Bearer secret-token'
          ? { body: { items: [] } }
          : {
              status: 401,
              body: { code: 'JUNCTURA_TOKEN_REQUIRED', detail: 'A token is needed.' },
            },
    }
    const without = await runCli(['consumers'], { routes })
    const byDefault = await runCli(['consumers'], {
      routes,
      env: { JUNCTURA_TOKEN: 'secret-token' },
    })
    const named = await runCli(['consumers', '--token-env', 'T'], {
      routes,
      env: { T: 'secret-token' },
    })
    const unset = await runCli(['consumers', '--token-env', 'T'], { routes })

    expect([without.code, byDefault.code, named.code, unset.code]).toEqual([1, 0, 0, 1])
    expect(without.io.err()).toContain('--token-env NAME')
    expect(unset.io.requests).toEqual([])
  })

  it('takes the address from the option, then from the environment', async () => {
    const routes = { '*': { body: { items: [] } } }
    const env = { JUNCTURA_MANAGEMENT_URL: 'http://10.0.0.1:1' }
    const url = 'http://10.0.0.2:2/'
    const byOption = await runCli(['consumers', '--management-url', url], { routes, env })
    const byPort = await runCli(['consumers', '--management-port', '3'], { routes, env })
    const byEnv = await runCli(['consumers'], { routes, env })
    const wrong = await runCli(['consumers', '--management-url', 'localhost:7071'], { routes })

    expect(byOption.io.requests[0]?.url.href).toBe('http://10.0.0.2:2/api/v1/consumers')
    expect(byPort.io.requests[0]?.url.origin).toBe('http://127.0.0.1:3')
    expect(byEnv.io.requests[0]?.url.origin).toBe('http://10.0.0.1:1')
    expect(wrong.code).toBe(64)
  })
})

describe('explain', () => {
  it('knows every code, in any case, with and without the prefix', async () => {
    for (const known of Object.keys(ERROR_CODES)) {
      const short = known.slice('JUNCTURA_'.length).toLowerCase().replaceAll('_', '-')
      for (const written of [known, short]) {
        const { code, io } = await runCli(['explain', written, '--json'])
        expect([written, code]).toEqual([written, 0])
        expect(io.json()['code']).toBe(known)
      }
    }
  })

  it('offers near codes for one that does not exist', async () => {
    const { code, io } = await runCli(['explain', 'JUNCTURA_SHOP_LOCKED'])

    expect(code).toBe(64)
    expect(io.err()).toContain('JUNCTURA_STORE_LOCKED')
  })
})
