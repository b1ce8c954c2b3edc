import { spawn } from 'node:child_process'
import { delimiter, join } from 'node:path'

export interface CommandOptions {
  readonly cwd: string
  /** Output goes straight to the terminal, as it comes; otherwise it is only returned. */
  readonly stream?: boolean
  readonly env?: NodeJS.ProcessEnv
}

export interface CommandResult {
  /** Exit status; 1 when a signal ended the program or it could not be started. */
  readonly status: number
  /** stdout and stderr as they came, mixed. */
  readonly output: string
}

/** Runs one program to its end. The project's own `node` and tools come first on PATH. */
export const runCommand = (
  program: string,
  args: readonly string[],
  options: CommandOptions,
): Promise<CommandResult> =>
  new Promise((resolve) => {
    const chunks: string[] = []
    const keep = (chunk: Buffer, copy: NodeJS.WriteStream): void => {
      chunks.push(chunk.toString('utf8'))
      if (options.stream) copy.write(chunk)
    }
    const child = spawn(program, args, {
      cwd: options.cwd,
      env: toolEnvironment(options.cwd, options.env),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    child.stdout.on('data', (chunk: Buffer) => keep(chunk, process.stdout))
    child.stderr.on('data', (chunk: Buffer) => keep(chunk, process.stderr))
    child.on('error', (error) => resolve({ status: 1, output: `${program}: ${error.message}` }))
    child.on('close', (code) => resolve({ status: code ?? 1, output: chunks.join('') }))
  })

/** The environment of a tool: without it, a machine's old `node` would run the tools. */
function toolEnvironment(cwd: string, extra: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const own = join(cwd, 'node_modules', '.bin')
  return { ...process.env, PATH: `${own}${delimiter}${process.env['PATH'] ?? ''}`, ...extra }
}
