import type { Kernel } from '../kernel/index.ts'

/**
 * The world as the commands see it. Everything they read or write outside goes through it, so that
 * a test drives a whole command without a process, a terminal or a socket.
 */
export interface CliIo {
  /** Time, chance, ids, environment and files. */
  readonly kernel: Kernel
  readonly stdout: TextSink
  readonly stderr: TextSink
  readonly stdin: TextSource
  /** The only way to another process. */
  readonly dial: Dial
  readonly cwd: string
  /** The person's name on this machine, for the record of what was done. */
  readonly user: string
  /** Version of the Node that `node` means in this shell; another one may be running this. */
  shellNodeVersion(): string | undefined
  /** Program and arguments that run this command again, for `dev`. */
  readonly self: readonly string[]
  /**
   * Calls `listener` on SIGINT and SIGTERM instead of ending the process. The function that it
   * gives ends that.
   */
  onSignal(listener: (signal: StopSignal) => void): () => void
  /** Calls `listener` on what nobody caught. */
  onUncaught(listener: (kind: UncaughtKind, error: unknown) => void): () => void
  /** Calls `listener` when the process that started this one is gone. */
  onParentGone(listener: () => void): () => void
  /** Ends the process at once; nothing after it runs. */
  exitNow(code: number): void
}

export type StopSignal = 'SIGINT' | 'SIGTERM'
export type UncaughtKind = 'exception' | 'rejection'

export interface TextSink {
  readonly isTerminal: boolean
  /** Width of the terminal; 80 where there is none. */
  readonly columns: number
  /** Whether the reader has gone away; what is written then is dropped. */
  readonly isBroken: boolean
  write(text: string): void
}

export interface TextSource {
  readonly isTerminal: boolean
  readAll(): Promise<Uint8Array>
  /** One line that a person types. */
  ask(question: string): Promise<string>
  /** Single keys as they are pressed; the function that it gives ends that. */
  onKey(listener: (key: string) => void): () => void
}

export interface DialRequest {
  readonly method: 'GET' | 'POST'
  readonly url: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Uint8Array
  readonly signal?: AbortSignal
}

export interface DialReply {
  readonly status: number
  header(name: string): string | undefined
  text(): Promise<string>
  /** The body as it comes. */
  readonly chunks: AsyncIterable<Uint8Array>
}

/**
 * One HTTP request; redirects are not followed, since a token must not travel.
 *
 * @throws JUNCTURA_UNREACHABLE when no answer comes.
 */
export type Dial = (request: DialRequest) => Promise<DialReply>
