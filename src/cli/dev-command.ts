import { dirname, relative, resolve } from 'node:path'
import type { Command } from 'commander'
import { messageOf } from '../kernel/index.ts'
import type { CliIo } from './cli-io.ts'
import { type CommandContext, openSession, type Session } from './command-context.ts'
import { showGroups } from './dead-letter-commands.ts'
import { pickEvent, renderKeys, renderLog, renderReady } from './dev-view.ts'
import { emit } from './emit-command.ts'
import { renderEvent } from './event-line.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import { followEvents } from './follow-events.ts'
import { fetchModel } from './model-parts.ts'
import { createOutput, type Output } from './output.ts'
import { type ServedProcess, startServedProcess } from './served-process.ts'
import type { ReadyReport } from './serve-integration.ts'
import { send } from './send-command.ts'
import { type StartOptions, withServer } from './start-command.ts'
import { watchFolder } from './watch-folder.ts'

/** Adds `dev FILE`: `start` for whoever is writing the integration. */
export const addDevCommand = (program: Command, { io, finish }: CommandContext): void => {
  withServer(program.command('dev <file>'))
    .description('Runs an integration, shows what happens, restarts it when a source changes.')
    .option('--no-watch', 'do not restart on changes')
    .action(async (file: string, options: DevOptions) => {
      finish(await new DevLoop(io, file, options).run())
    })
}

interface DevOptions extends StartOptions {
  readonly watch: boolean
}

/**
 * Keeps one `start` alive next to the sources.
 *
 * Modes: `starting` a child; `serving`, where its events are shown and keys act on it; `waiting`
 * for a change after the child ended by itself; `stopping`. A change or `r` leads from every mode
 * but the last to `starting`; only one child lives at a time, since it holds the data directory.
 */
class DevLoop {
  readonly #io: CliIo
  readonly #file: string
  readonly #options: DevOptions
  readonly #out: Output
  #mode: 'starting' | 'serving' | 'waiting' | 'stopping' = 'starting'
  #child: ServedProcess | undefined
  #ready: ReadyReport | undefined
  #following: AbortController | undefined
  #restarting: Promise<void> = Promise.resolve()
  #finish: (code: ExitCode) => void = () => undefined

  constructor(io: CliIo, file: string, options: DevOptions) {
    this.#io = io
    this.#file = file
    this.#options = options
    this.#out = createOutput(io, false)
  }

  async run(): Promise<ExitCode> {
    const { stdin, kernel, cwd } = this.#io
    const finished = new Promise<ExitCode>((resolvePromise) => (this.#finish = resolvePromise))
    const folder = dirname(resolve(cwd, this.#file))
    const watcher = this.#options.watch
      ? watchFolder({
          folder,
          clock: kernel.clock,
          onChange: (path) => this.#restart(`${relative(folder, path)} changed`),
        })
      : undefined
    const stopKeys = stdin.isTerminal ? stdin.onKey((key) => this.#press(key)) : () => undefined
    const stopSignals = this.#io.onSignal(() => this.#quit())
    this.#spawn()
    const code = await finished
    stopKeys()
    stopSignals()
    watcher?.close()
    return code
  }

  #spawn(): void {
    const { self, cwd } = this.#io
    this.#mode = 'starting'
    const child = startServedProcess({
      self,
      cwd,
      args: [this.#file, ...serverArgs(this.#options)],
      onReady: (ready) => this.#serve(ready),
      onLog: (line) => this.#out.line(renderLog(line, this.#out.paint)),
      onExit: (code) => {
        if (child === this.#child) this.#ended(code)
      },
    })
    this.#child = child
  }

  #serve(ready: ReadyReport): void {
    this.#mode = 'serving'
    this.#ready = ready
    this.#out.line(renderReady(ready, this.#out.paint))
    if (this.#io.stdin.isTerminal) this.#out.line(renderKeys(this.#out.paint))
    this.#out.line('')
    const following = new AbortController()
    this.#following = following
    const { io, client, out } = this.#session(ready)
    followEvents(io, client, {
      signal: following.signal,
      onEvent: (event) => out.line(renderEvent(event, out.paint)),
    }).catch((error: unknown) => out.note(messageOf(error)))
  }

  #ended(code: number | null): void {
    this.#following?.abort()
    this.#child = undefined
    this.#ready = undefined
    if (this.#mode === 'stopping') return this.#finish(EXIT.ok)
    this.#mode = 'waiting'
    const next = this.#options.watch ? 'mend it and save' : 'press r to start it again'
    this.#out.note(this.#out.paint('red', `it ended with ${code ?? 'a signal'}; ${next}`))
    // Without a watch and without keys nothing could ever start it again.
    if (!this.#options.watch && !this.#io.stdin.isTerminal) this.#finish(EXIT.findings)
  }

  #restart(why: string): void {
    this.#restarting = this.#restarting.then(async () => {
      if (this.#isStopping()) return
      this.#out.line(this.#out.paint('gray', `restarting: ${why}`))
      const old = this.#child
      // No longer the one that counts: its end is ours, not a crash.
      this.#child = undefined
      this.#ready = undefined
      this.#following?.abort()
      await old?.stop()
      // A person may have had enough meanwhile.
      if (!this.#isStopping()) this.#spawn()
    })
  }

  #isStopping(): boolean {
    return this.#mode === 'stopping'
  }

  #quit(): void {
    // The second time a person means it.
    if (this.#isStopping()) return this.#io.exitNow(EXIT.interrupted)
    this.#mode = 'stopping'
    void this.#restarting.then(() => {
      if (this.#child) void this.#child.stop()
      else this.#finish(EXIT.ok)
    })
  }

  #press(key: string): void {
    if (key === 'q' || key === 'ctrl-c') return this.#quit()
    if (key === 'r') return this.#restart('asked for')
    const ready = this.#ready
    if (!ready) return
    if (key === 'o') return this.#out.line(renderReady(ready, this.#out.paint))
    const action = KEY_ACTIONS[key]
    if (!action) return
    action(this.#session(ready), ready, this.#file).catch((error: unknown) =>
      this.#out.failure(error),
    )
  }

  #session(ready: ReadyReport): Session {
    return openSession(this.#io, { managementUrl: ready.managementUrl })
  }
}

type KeyAction = (session: Session, ready: ReadyReport, file: string) => Promise<unknown>

const KEY_ACTIONS: Readonly<Record<string, KeyAction>> = {
  async s(session, ready, file) {
    const [first] = ready.webhooks
    if (!first) return session.out.note('It has no webhook.')
    const model = await fetchModel(session.client)
    return send(session, model, first.name, { url: ready.url, integration: file })
  },
  async e(session) {
    const model = await fetchModel(session.client)
    const consumed = new Set(model.consumers.map(({ on }) => on.contract))
    const event = pickEvent(model.contracts, consumed)
    if (!event) return session.out.note('It has no event.')
    return emit(session, model, event.name, {})
  },
  l: (session) => showGroups(session, false),
}

/** The options of the child: as given here. */
function serverArgs(options: StartOptions): readonly string[] {
  return [
    ['--development'],
    ['--port', options.port],
    ['--host', options.host],
    ['--management-port', options.managementPort],
    ['--management-host', options.managementHost],
    ['--data', options.data],
    ['--store', options.store],
    ['--transport', options.transport],
    (options.bridge ?? []).flatMap((broker) => ['--bridge', broker]),
    ['--bridge-from', options.bridgeFrom],
    ['--token-env', options.tokenEnv],
    ['--drain-timeout', options.drainTimeout],
    // Read as a rate a second, so that is how it is handed on.
    options.ratePerAddress === undefined ? [] : ['--rate-per-address', `${options.ratePerAddress}`],
    (options.trustedProxy ?? []).flatMap((range) => ['--trusted-proxy', range]),
    // Whoever saves a file waits for the next start; no load balancer looks at this one.
    ['--lame-duck', '0ms'],
  ].flat()
}
