import {
  type AppliedCommit,
  createMemoryDisk,
  inspectDisk,
  type MemoryDisk,
  type RowWrite,
} from '../../store/index.ts'
import type { AttemptWatch } from './attempt-watch.ts'
import { Cluster, type ClusterOptions, PLACES_MAX } from './cluster.ts'
import type { LanePlace } from './lease-book.ts'
import type { Processes } from './processes.ts'
import type { RandomStreams } from './random-streams.ts'
import { SharedServer } from './shared-server.ts'
import { SimulatedFile } from './simulated-file.ts'
import type { SituationBook } from './situations.ts'
import { SituationWatch } from './situation-watch.ts'
import { openSoleStore } from './sole-store.ts'
import { Supervisor } from './supervisor.ts'

/** Where everything durable of a world is, whatever processes run on it. */
export interface Ground {
  readonly disk: MemoryDisk
  readonly watch: SituationWatch
  /** At once, at most. */
  readonly processesMax: number
  /** The processes, once what they are made of is there. */
  raise(parts: ProcessParts): Processes
  /** Told of each commit as it is applied. */
  applied(commit: AppliedCommit): void
}

export interface GroundOptions extends Pick<
  ClusterOptions,
  'scheduler' | 'dice' | 'fail' | 'trace'
> {
  readonly streams: RandomStreams
  readonly situations: SituationBook
  readonly partitionBytesMax: number
}

export interface ProcessParts {
  readonly attempts: () => AttemptWatch
  readonly node: Omit<ClusterOptions['node'], 'openStore' | 'isCurrent'>
}

/** A disk for one process at a time, or a store that several share. */
export const layGround = (options: GroundOptions): Ground =>
  options.streams('cluster').next() < options.dice.faults.cluster
    ? sharedGround(options)
    : soleGround(options)

function soleGround(options: GroundOptions): Ground {
  const { dice, situations } = options
  const file = new SimulatedFile(dice, situations)
  const disk = createMemoryDisk({ file })
  const watch = new SituationWatch(situations, inspectDisk(disk))
  const random = options.streams('supervisor')
  return {
    disk,
    watch,
    processesMax: 1,
    raise: ({ node, attempts }) => {
      const supervisor: Supervisor = new Supervisor({
        ...options,
        disk,
        file,
        watch,
        attempts,
        random: () => random.next(),
        node: {
          ...node,
          openStore: (host) => openSoleStore({ ...options, disk, file }, host),
          isCurrent: (number) => supervisor.isCurrent(number),
        },
      })
      return supervisor
    },
    applied: () => undefined,
  }
}

/** Where only whoever has the lease may write; undefined for everything else. */
function placeOf(write: RowWrite): LanePlace | undefined {
  if (write.collection === 'progress') return write.row && { consumer: write.row.consumer }
  if (write.collection !== 'lanes' && write.collection !== 'successors') return undefined
  const [consumer = '', lane = ''] = write.key.split('\n')
  return { consumer, lane }
}

function sharedGround(options: GroundOptions): Ground {
  const { fail, situations } = options
  const disk = createMemoryDisk()
  const watch = new SituationWatch(situations, inspectDisk(disk))
  const random = options.streams('supervisor')
  let cluster: Cluster | undefined
  const server = new SharedServer({
    ...options,
    disk,
    onTaken: (taken) => cluster?.taken(taken),
  })
  return {
    disk,
    watch,
    processesMax: PLACES_MAX,
    raise: ({ node, attempts }) => {
      cluster = new Cluster({
        ...options,
        server,
        watch,
        attempts,
        random: () => random.next(),
        node: {
          ...node,
          openStore: (host) => server.connect(host),
          isCurrent: (number, place) => server.leases.isLast(number, place),
        },
      })
      return cluster
    },
    applied: ({ rows }) => {
      const { author } = server
      if (author === undefined) return
      for (const write of rows) {
        const place = placeOf(write)
        if (!place || server.leases.isLast(author, place)) continue
        fail(`node ${author} wrote ${write.collection} after another process had taken its lease`)
      }
    },
  }
}
