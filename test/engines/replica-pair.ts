import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { type CuttingProxy, startCuttingProxy } from './cutting-proxy.ts'
import { type RunningEngine, runEngine } from './engine.ts'
import {
  createEngine,
  type EngineInstance,
  type EngineName,
  placeEngine,
} from './engine-instance.ts'
import { portAt } from './recipe.ts'

/**
 * A PostgreSQL and a replica that streams from it. Clients come through a proxy whose port stays
 * the same, as an address that moves with the primary, or a pooler, does.
 */
export interface ReplicaPair {
  /** Of the proxy. */
  readonly url: string
  readonly proxy: CuttingProxy
  /** Of the server that takes writes now, past the proxy. */
  readonly primaryUrl: string
  /** The replica hears nothing more, as one far behind: what follows is on one disk only. */
  detach(): Promise<void>
  /** Points the proxy at one of the two, and breaks the connections that it carries. */
  lead(to: 'primary' | 'replica'): Promise<void>
  /** Ends the primary as a crash does, promotes the replica and points the proxy there. */
  failOver(): Promise<void>
  /** Makes the server that was lost a replica of the one that was promoted. */
  rebuild(): Promise<void>
  stop(): Promise<void>
}

export interface ReplicaPairOptions {
  /** Whether a commit waits until the replica has it on disk. */
  readonly isSynchronous: boolean
  readonly engine?: EngineName
}

export const startReplicaPair = async (options: ReplicaPairOptions): Promise<ReplicaPair> => {
  const { isSynchronous, engine = 'postgres18' } = options
  const started: RunningEngine[] = []
  const start = async (instance: EngineInstance): Promise<Server> => {
    const running = await runEngine(instance)
    started.push(running)
    return { instance, running }
  }
  const stopAll = async (): Promise<void> => {
    for (const one of started.splice(0)) await one.stop()
  }
  try {
    let primary = await start(await createEngine(engine, { settings: SETTINGS }))
    let replica = await start(await copyOf(primary, engine))
    const target = { host: '127.0.0.1', port: portOf(primary) }
    const proxy = await startCuttingProxy(target)
    const url = new URL(primary.running.url)
    url.port = String(proxy.port)
    const attach = async (): Promise<void> => {
      await until(primary, 'select count(*) = 1 from pg_stat_replication')
      if (!isSynchronous) return
      await configure(primary, `synchronous_standby_names = '*'`)
      await until(primary, `select count(*) = 1 from pg_stat_replication where sync_state = 'sync'`)
    }
    await attach()
    return {
      url: url.href,
      proxy,
      get primaryUrl() {
        return primary.running.url
      },
      async detach() {
        await configure(replica, `primary_conninfo = ''`)
        await until(replica, 'select count(*) = 0 from pg_stat_wal_receiver')
      },
      async lead(to) {
        target.port = portOf(to === 'primary' ? primary : replica)
        await proxy.cut()
        await proxy.heal()
      },
      async failOver() {
        await primary.running.kill()
        await query(replica, 'select pg_promote(true, 60)')
        ;[primary, replica] = [replica, primary]
        target.port = portOf(primary)
      },
      async rebuild() {
        await replica.running.stop()
        replica = await start(await copyOf(primary, engine))
        await attach()
      },
      async stop() {
        await proxy.close()
        await stopAll()
      },
    }
  } catch (error) {
    await stopAll()
    throw error
  }
}

interface Server {
  readonly instance: EngineInstance
  readonly running: RunningEngine
}

const SETTINGS: Readonly<Record<string, string>> = {
  wal_level: 'replica',
  max_wal_senders: '4',
  // A replica that is made while there is load must find what was written meanwhile.
  wal_keep_size: '512MB',
  wal_retrieve_retry_interval: '100ms',
  max_connections: '60',
}

const portOf = ({ instance }: Server): number => portAt(instance.state, 0)

/** A copy of the primary's files while it works, laid out to stream the rest from it. */
const copyOf = async (primary: Server, engine: EngineName): Promise<EngineInstance> => {
  const replica = await placeEngine(engine, { settings: SETTINGS })
  const data = join(replica.state.directory, 'data')
  const client = await connected(primary)
  try {
    await client.query(`select pg_backup_start('replica', true)`)
    execFileSync('sh', ['-c', COPY, 'sh', join(primary.instance.state.directory, 'data'), data])
    const { rows }: pg.QueryResult<{ labelfile: string }> = await client.query(
      'select labelfile from pg_backup_stop(false)',
    )
    writeLike(data, 'backup_label', rows[0]?.labelfile ?? '')
    const source = `host=127.0.0.1 port=${portOf(primary)} user=postgres application_name=replica`
    // In the file, so that it can be changed while the server runs: the last line counts.
    writeLike(data, 'postgresql.auto.conf', `primary_conninfo = '${source}'\n`)
    writeLike(data, 'standby.signal', '')
    return replica
  } catch (error) {
    await replica.remove()
    throw error
  } finally {
    await client.end()
  }
}

/** Without its log, which is streamed. A file that vanishes while it is copied was temporary. */
const COPY = `mkdir -m 700 "$2" && chown --reference="$1" "$2"
tar -C "$1" -cf - --warning=no-file-changed --warning=no-file-removed --exclude='./pg_wal/0*' \\
  --exclude=./postmaster.pid --exclude=./postmaster.opts . | tar -C "$2" -xpf - && test -f "$2/PG_VERSION"`

/** With the owner of the folder that it is in. */
const writeLike = (folder: string, name: string, text: string): void => {
  const file = join(folder, name)
  writeFileSync(file, text, { mode: 0o600 })
  if (process.getuid?.() === 0) execFileSync('chown', [`--reference=${folder}`, file])
}

const connected = async ({ running }: Server): Promise<pg.Client> => {
  const client = new pg.Client({ connectionString: running.url })
  client.on('error', () => undefined)
  await client.connect()
  return client
}

const query = async (server: Server, sql: string): Promise<readonly unknown[]> => {
  const client = await connected(server)
  try {
    const { rows }: pg.QueryArrayResult<unknown[]> = await client.query({
      text: sql,
      rowMode: 'array',
    })
    return rows[0] ?? []
  } finally {
    await client.end()
  }
}

const configure = async (server: Server, setting: string): Promise<void> => {
  await query(server, `alter system set ${setting}`)
  await query(server, 'select pg_reload_conf()')
}

const until = async (server: Server, sql: string): Promise<void> => {
  const endMs = performance.now() + WAIT_MS_MAX
  while ((await query(server, sql))[0] !== true) {
    if (performance.now() > endMs) throw new Error(`never so: ${sql}`)
    await new Promise((resolve) => void setTimeout(resolve, 25))
  }
}

const WAIT_MS_MAX = 60_000
