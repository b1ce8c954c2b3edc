import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ENGINE_CLIENTS } from './clients.fixture.ts'
import { type ProxiedEngine, startProxiedEngine } from './engine.ts'
import { ENGINE_NAMES } from './engine-instance.ts'

describe.each(ENGINE_NAMES)('%s', (name) => {
  const client = ENGINE_CLIENTS[name]
  let started: ProxiedEngine | undefined

  beforeAll(async () => {
    started = await startProxiedEngine(name)
  })
  afterAll(() => started?.stop())

  const engine = (): ProxiedEngine => {
    if (started === undefined) throw new Error('it is not up')
    return started
  }
  /** What a client is told within a moment; a server that does not answer says nothing. */
  const soon = (answer: Promise<unknown>): Promise<string> =>
    Promise.race([
      answer.then(
        () => 'answered',
        () => 'failed',
      ),
      new Promise<string>((resolve) => void setTimeout(() => resolve('silent'), 1_500)),
    ])

  it('keeps what it acknowledged when it is killed', async () => {
    await client.put(engine().url, 'before the crash')

    await engine().kill()

    expect(await soon(client.put(engine().url, 'to nobody'))).not.toBe('answered')
    await engine().restart()
    await client.put(engine().url, 'after the crash')
    expect(await client.list(engine().url)).toEqual(['before the crash', 'after the crash'])
  })

  it('keeps it when it is stopped in good order and started again', async () => {
    const before = await client.list(engine().url)

    await engine().restart()

    expect(await client.list(engine().url)).toEqual(before)
  })

  it('is silent while it is paused, and answers what was asked when it goes on', async () => {
    await engine().pause()
    const asked = client.list(engine().url).catch(() => [])

    expect(await soon(asked)).not.toBe('answered')
    await engine().resume()

    await asked
    expect(await client.list(engine().url)).not.toEqual([])
  })

  it('cannot be reached while its network is cut, and can be afterwards', async () => {
    await engine().proxy.cut()

    expect(await soon(client.list(engine().url))).not.toBe('answered')
    await engine().proxy.heal()

    expect(await client.list(engine().url)).not.toEqual([])
  })

  it('has lost everything when it is wiped, and serves on the same URL', async () => {
    expect(await client.list(engine().url)).not.toEqual([])

    await engine().wipe()

    expect(await client.list(engine().url)).toEqual([])
    await client.put(engine().url, 'the first again')
    expect(await client.list(engine().url)).toEqual(['the first again'])
  })
})
