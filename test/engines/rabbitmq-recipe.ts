import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { askPort } from './ask-port.ts'
import { portAt, type Recipe } from './recipe.ts'

/** The script inside the package: the one on PATH insists on the user of the system's service. */
const SCRIPT = '/usr/lib/rabbitmq/bin/rabbitmq-server'

/** A single node. Erlang's port mapper is one of its own, so that it ends with the server. */
export const rabbitmqRecipe: Recipe = {
  portCount: 3,
  stopSignal: 'SIGTERM',
  fetch: async () => {
    if (existsSync(SCRIPT)) return
    throw new Error(`there is no ${SCRIPT}; on Debian: apt-get install rabbitmq-server`)
  },
  async layOut(place) {
    mkdirSync(join(place.directory, 'home'), { recursive: true })
    const settings = {
      'listeners.tcp.1': `127.0.0.1:${portAt(place, 0)}`,
      // A test machine with a nearly full disk should not look like a broker that hangs.
      'disk_free_limit.absolute': '50MB',
      ...place.settings,
    }
    const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}`)
    writeFileSync(join(place.directory, 'rabbitmq.conf'), `${lines.join('\n')}\n`)
    writeFileSync(join(place.directory, 'enabled_plugins'), '[].\n')
  },
  async command(place) {
    const mapperPort = String(portAt(place, 1))
    return {
      file: 'sh',
      args: ['-c', START, 'sh', mapperPort, SCRIPT],
      env: {
        HOME: join(place.directory, 'home'),
        ERL_EPMD_PORT: mapperPort,
        ERL_EPMD_ADDRESS: '127.0.0.1',
        RABBITMQ_NODENAME: `junctura-${portAt(place, 0)}@localhost`,
        RABBITMQ_DIST_PORT: String(portAt(place, 2)),
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: ERLANG,
        RABBITMQ_MNESIA_BASE: join(place.directory, 'data'),
        RABBITMQ_LOG_BASE: join(place.directory, 'log'),
        RABBITMQ_CONFIG_FILE: join(place.directory, 'rabbitmq'),
        RABBITMQ_ENABLED_PLUGINS_FILE: join(place.directory, 'enabled_plugins'),
        RABBITMQ_PID_FILE: join(place.directory, 'rabbitmq.pid'),
        // The script becomes the server, instead of standing in front of it.
        RUNNING_UNDER_SYSTEMD: 'true',
      },
    }
  },
  answers: async (place) => {
    const answer = await askPort(portAt(place, 0), Buffer.from('AMQP\0\0\x09\x01', 'latin1'))
    // A method frame on channel 0: connection.start.
    return answer?.[0] === 1
  },
  url: (port) => `amqp://guest:guest@127.0.0.1:${port}`,
}

/** Without its own mapper, Erlang would start one for the whole machine, and leave it behind. */
const START = `
epmd -port "$1" -address 127.0.0.1 &
tries=0
until epmd -port "$1" -names > /dev/null 2>&1; do
  tries=$((tries + 1)); [ $tries -gt 100 ] && exit 1; sleep 0.05
done
exec "$2"
`

/** Loopback only; and no spinning of idle schedulers, which on few cores starves everybody else. */
const ERLANG = '-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none'
