// Every attack by its name, in the order of the table.
import { availableParallelism } from 'node:os'
import { type AttackLine, faultsOf, figuresOf, spread } from './attack.ts'
import { describeBothKilled, runBothKilled } from './both-killed.ts'
import { BROKER_FAULTS, type BrokerName, runBrokerFaults } from './broker-faults.ts'
import { describeCareless, runCareless } from './careless-handlers.ts'
import { describeClockJumps, runClockJumps } from './clock-jumps.ts'
import { runDrain } from './drain-under-load.ts'
import { describeFrozen, runFrozen } from './frozen-process.ts'
import { describeFailOvers, runFailOvers } from './fail-overs.ts'
import { runFullDisk } from './full-disk.ts'
import { describeParserFuzz } from './fuzz-parsers.ts'
import { describeProcessFuzz, fuzzProcess } from './fuzz-process.ts'
import { describeHttpAttacks, runHttpAttacks } from './http-attacks.ts'
import { countCalls, describeInjections, listCases, runInjections } from './inject-faults.ts'
import { describeRepairs, listRepairCases, makeDamagedStore, runRepairs } from './inject-repair.ts'
import { runKillRounds } from './kill-rounds.ts'
import { runKillerMessage } from './killer-message.ts'
import { describeManyMessages, runManyMessages } from './many-messages.ts'
import {
  describeRecoveries,
  POSTGRES_FAULTS,
  type PostgresFaultsOptions,
  runPostgresFaults,
} from './postgres-faults.ts'
import { describeReadOnly, runReadOnlyDisk } from './read-only-disk.ts'
import { runSeveralWithBroker } from './several-with-broker.ts'
import { describeSlowSenders, runSlowSenders } from './slow-senders.ts'
import { smallDisk } from './small-disk.ts'
import { describeSoak, runSoak } from './soak.ts'
import { describeSlowDisk, runSlowDisk, SYNC_DELAYS_MS } from './slow-disk.ts'
import { describeDamages, listDamages, makeKilledStore, runDamages } from './random-damage.ts'

export interface AttackOptions {
  readonly newFolder: () => string
  readonly seed: number
  readonly rounds: number
  readonly isLongSoak: boolean
}

type Attack = (options: AttackOptions) => Promise<readonly AttackLine[]>

const kill: Attack = async ({ newFolder, seed, rounds }) => {
  const options = { dataDir: newFolder(), seed, rounds, loadMsMax: 1_500, connections: 12 }
  const { verdict, partner, recoveryMs } = await runKillRounds(options)
  return [
    {
      what: 'kill -9 under load',
      figures: figuresOf(verdict),
      recovery: `${spread(recoveryMs)}; ${rounds} rounds`,
      faults: faultsOf(verdict, partner),
    },
  ]
}

const broker =
  (name: BrokerName): Attack =>
  async ({ newFolder, seed, rounds }) => {
    const options = { broker: name, dataDir: newFolder(), seed, rounds: Math.min(rounds, 10) }
    const { verdict, partner, recoveryMs, unpublished } = await runBrokerFaults(options)
    return [
      {
        what: `${name}: ${BROKER_FAULTS.join(', ')}, at times with the runtime`,
        figures: figuresOf(verdict),
        recovery: `${spread(recoveryMs)} until all is published; ${options.rounds} rounds of each`,
        faults: [
          ...faultsOf(verdict, partner),
          ...(unpublished === 0 ? [] : [`${unpublished} positions were never published`]),
        ],
      },
    ]
  }

const several =
  (name: BrokerName): Attack =>
  async (options) => [await runSeveralWithBroker(name, options)]

const postgres =
  (engine: PostgresFaultsOptions['engine']): Attack =>
  async ({ newFolder, seed, rounds }) => {
    const options = { engine, dataDir: newFolder(), seed, rounds: Math.min(rounds, 10) }
    const { verdict, partner, recoveryMs, ends } = await runPostgresFaults(options)
    return [
      {
        what: `${engine} as the store: ${POSTGRES_FAULTS.join(', ')}`,
        figures: figuresOf(verdict),
        recovery: `${describeRecoveries(recoveryMs)}; ${options.rounds} rounds of each`,
        faults: [...faultsOf(verdict, partner), ...ends.map((end) => `the runtime ended: ${end}`)],
      },
    ]
  }

const failOver: Attack = async ({ newFolder, seed, rounds }) => {
  const lines: AttackLine[] = []
  for (const isSynchronous of [true, false]) {
    lines.push(
      describeFailOvers(
        isSynchronous,
        await runFailOvers({
          engine: 'postgres18',
          isSynchronous,
          dataDir: newFolder(),
          seed,
          rounds: Math.min(rounds, 10),
        }),
      ),
    )
  }
  return lines
}

const drain: Attack = async ({ newFolder, seed }) => {
  const options = { dataDir: newFolder(), seed, loadMs: 3_000, connections: 12 }
  const { verdict, partner, end, broken } = await runDrain(options)
  return [
    {
      what: 'SIGTERM under load',
      figures: figuresOf(verdict),
      recovery: `drained in ${Math.round(end.drainMs)} ms, ${broken} connections broken`,
      faults: [
        ...faultsOf(verdict, partner),
        ...(broken > 0 ? [`${broken} connections broke during the drain`] : []),
      ],
    },
  ]
}

const fullDisk: Attack = async ({ newFolder, seed }) => {
  const mountPoint = newFolder()
  const wrapper = smallDisk(mountPoint)
  const full = await runFullDisk({ dataDir: mountPoint, wrapper, seed })
  return [
    {
      what: 'disk full, then room again',
      figures: figuresOf(full.verdict),
      recovery: `${full.recoveryMs} ms after there was room`,
      faults: faultsOf(full.verdict, full.partner),
    },
  ]
}

const killer: Attack = async ({ newFolder, seed }) => {
  const result = await runKillerMessage({ dataDir: newFolder(), seed })
  return [
    {
      what: 'messages that kill the process',
      recovery: `${result.lives} starts, ${result.deadLetters.length} set aside`,
      faults: result.harmedNeighbours.map((id) => `a neighbour of a killer was harmed: ${id}`),
    },
  ]
}

const inject: Attack = async () => {
  const cases = listCases(await countCalls())
  return describeInjections(await runInjections(cases, availableParallelism()))
}

const repair: Attack = async ({ newFolder }) => {
  const store = await makeDamagedStore(newFolder())
  const cases = listRepairCases(store.counts, 10)
  return [describeRepairs(await runRepairs(store, cases, availableParallelism()))]
}

const damage: Attack = async ({ newFolder }) => {
  const store = await makeKilledStore(newFolder(), 200)
  const cases = listDamages(store.files, 4)
  return describeDamages(await runDamages(store, cases, availableParallelism()))
}

const readOnly: Attack = async ({ newFolder, seed }) => [
  describeReadOnly(await runReadOnlyDisk({ folder: newFolder(), seed })),
]

const slowDisk: Attack = async ({ newFolder, seed }) => {
  const lines: AttackLine[] = []
  for (const delayMs of SYNC_DELAYS_MS) {
    const options = { folder: newFolder(), seed, delayMs, loadMs: 5_000 }
    lines.push(describeSlowDisk(await runSlowDisk(options)))
  }
  return lines
}

const frozen: Attack = async ({ newFolder, seed }) => [
  describeFrozen(await runFrozen({ dataDir: newFolder(), seed, frozenMs: 60_000 })),
]

const clock: Attack = async ({ newFolder, seed }) => [
  describeClockJumps(await runClockJumps({ folder: newFolder(), seed, loadMs: 3_000 })),
]

const bothKilled: Attack = async ({ newFolder, seed, rounds }) => [
  describeBothKilled(await runBothKilled({ folder: newFolder(), seed, rounds })),
]

const http: Attack = async ({ newFolder }) => [
  describeHttpAttacks(await runHttpAttacks(newFolder())),
]

const fuzz: Attack = async ({ newFolder, seed }) => {
  const options = { dataDir: newFolder(), seed, inputs: 10_000 }
  const listeners = describeProcessFuzz(await fuzzProcess(options))
  const parsers = await describeParserFuzz(seed, 20_000, 2_000)
  return [listeners, parsers]
}

const slowSenders: Attack = async ({ newFolder, seed }) => [
  // A few less than LIMITS.connectionsMax: what is beyond it is not taken at all.
  describeSlowSenders(await runSlowSenders({ dataDir: newFolder(), seed, senders: 9_900 })),
]

const manyMessages: Attack = async ({ newFolder }) => {
  const messages = 1_000_000
  const manyKeys = await runManyMessages({ dataDir: newFolder(), messages, keys: messages })
  const one = { dataDir: newFolder(), messages, keys: 1, waitMs: 30_000 }
  const oneKey = await runManyMessages(one)
  return [
    describeManyMessages('a million keys with one message each', manyKeys),
    describeManyMessages('one key with a million messages', oneKey),
  ]
}

const careless: Attack = async ({ newFolder, seed }) => [
  describeCareless(await runCareless({ dataDir: newFolder(), seed, prefix: 'BLOCK' })),
  describeCareless(await runCareless({ dataDir: newFolder(), seed, prefix: 'LEAK' })),
]

const soak: Attack = async ({ newFolder, seed, isLongSoak }) => [
  describeSoak(await runSoak({ dataDir: newFolder(), seed, seconds: isLongSoak ? 600 : 60 })),
]

export const ATTACKS: Readonly<Record<string, Attack>> = {
  kill,
  drain,
  'full-disk': fullDisk,
  killer,
  inject,
  repair,
  damage,
  'read-only-disk': readOnly,
  'slow-disk': slowDisk,
  frozen,
  clock,
  'both-killed': bothKilled,
  http,
  fuzz,
  'slow-senders': slowSenders,
  'many-messages': manyMessages,
  careless,
  nats: broker('nats'),
  kafka: broker('kafka'),
  rabbitmq: broker('rabbitmq'),
  postgres18: postgres('postgres18'),
  postgres15: postgres('postgres15'),
  'several-nats': several('nats'),
  'several-kafka': several('kafka'),
  'several-rabbitmq': several('rabbitmq'),
  'fail-over': failOver,
  soak,
}
