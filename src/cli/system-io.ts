import { spawnSync } from 'node:child_process'
import { userInfo } from 'node:os'
import { createInterface } from 'node:readline/promises'
import { emitKeypressEvents } from 'node:readline'
import { isatty, type ReadStream, type WriteStream } from 'node:tty'
import { createSystemKernel } from '../kernel/index.ts'
import type { CliIo, StopSignal, TextSink, TextSource } from './cli-io.ts'
import { dialHttp } from './http-dialer.ts'

/** The real terminal, process and network. */
export const createSystemIo = (): CliIo => ({
  kernel: createSystemKernel(),
  stdout: createSink(process.stdout, 1),
  stderr: createSink(process.stderr, 2),
  stdin: createSource(process.stdin, 0),
  dial: dialHttp,
  cwd: process.cwd(),
  user: userName(),
  shellNodeVersion() {
    const { stdout } = spawnSync('node', ['--version'], { encoding: 'utf8', timeout: 5_000 })
    return /^v(\d+\.\d+\.\d+)/.exec(stdout ?? '')?.[1]
  },
  self: [process.execPath, ...process.execArgv, process.argv[1] ?? ''],
  onSignal(listener) {
    const signals: readonly StopSignal[] = ['SIGINT', 'SIGTERM']
    const handlers = signals.map((signal) => [signal, () => listener(signal)] as const)
    for (const [signal, handler] of handlers) process.on(signal, handler)
    return () => {
      for (const [signal, handler] of handlers) process.removeListener(signal, handler)
    }
  },
  onUncaught(listener) {
    const onException = (error: unknown): void => listener('exception', error)
    const onRejection = (error: unknown): void => listener('rejection', error)
    process.on('uncaughtException', onException)
    process.on('unhandledRejection', onRejection)
    return () => {
      process.removeListener('uncaughtException', onException)
      process.removeListener('unhandledRejection', onRejection)
    }
  },
  onParentGone(listener) {
    if (!process.channel) return () => undefined
    process.on('disconnect', listener)
    // Watching the parent must not keep a finished command alive.
    process.channel.unref()
    return () => void process.removeListener('disconnect', listener)
  },
  exitNow: (code) => process.exit(code),
})

function createSink(stream: WriteStream, fd: number): TextSink {
  let isBroken = false
  // A reader that went away (`junctura tail | head`) is no failure, and must not stop a server.
  stream.on('error', () => (isBroken = true))
  return {
    isTerminal: isatty(fd),
    get columns() {
      return stream.columns ?? 80
    },
    get isBroken() {
      return isBroken
    },
    write: (text) => void (isBroken || stream.write(text)),
  }
}

function createSource(stream: ReadStream, fd: number): TextSource {
  return {
    isTerminal: isatty(fd),
    async readAll() {
      const chunks: Uint8Array[] = []
      for await (const chunk of stream) chunks.push(Buffer.from(chunk))
      return Buffer.concat(chunks)
    },
    async ask(question) {
      const reader = createInterface({ input: stream, output: process.stderr })
      try {
        return await reader.question(question)
      } finally {
        reader.close()
      }
    },
    onKey(listener) {
      const handler = (text: string | undefined, key: { name?: string; ctrl?: boolean }): void =>
        listener(key.ctrl === true && key.name === 'c' ? 'ctrl-c' : (text ?? key.name ?? ''))
      emitKeypressEvents(stream)
      stream.setRawMode(true)
      stream.resume()
      stream.on('keypress', handler)
      return () => {
        stream.removeListener('keypress', handler)
        stream.setRawMode(false)
        stream.pause()
      }
    },
  }
}

function userName(): string {
  try {
    return userInfo().username
  } catch {
    // A container may run under a number that no user has.
    return 'unknown'
  }
}
