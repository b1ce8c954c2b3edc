import { assert } from '../../kernel/index.ts'

/**
 * What memory keeps of a sorted run of fingerprints, so that a key which is not in it costs no
 * read: sixteen bits of each fingerprint, in the order of the run. Fingerprints are evenly spread,
 * so their first word says in which group of some sixteen a key would stand; one new key in four
 * thousand matches by chance. A match gives the entry's place in the run, so that a hit is one
 * read. 2.25 bytes per key; made in one pass over sorted keys.
 *
 * Without the sixteen bits (`coarsened`, an eightieth of the size) a group of some hundred and
 * thirty is left to be read: slower, and never wrong.
 */
export interface RunFilter {
  /** Place of the first entry of each group, and the number of entries behind the last. */
  readonly offsets: Uint32Array
  /** From the second word of each fingerprint; the first chose the group. */
  readonly remainders: Uint16Array | undefined
}

/** Groups of a run with up to so many entries. */
export const filterGroups = (entriesMax: number): number =>
  Math.ceil(Math.max(1, entriesMax) / GROUP_ENTRIES / COARSE_GROUPS) * COARSE_GROUPS

export const filterBytes = ({ offsets, remainders }: RunFilter): number =>
  offsets.byteLength + (remainders?.byteLength ?? 0)

/** Bytes of a full filter for so many entries. */
export const filterBytesOf = (entries: number): number =>
  (filterGroups(entries) + 1) * 4 + entries * 2

export interface Sought {
  /** Words of the fingerprint. */
  readonly first: number
  readonly second: number
  readonly from: number
}

/**
 * First place at or after `from` that may hold the fingerprint, -1 if there is none. Of a coarse
 * filter, the whole group may.
 */
export const findPlace = (
  { offsets, remainders }: RunFilter,
  { first, second, from }: Sought,
): number => {
  const group = groupOf(first, offsets.length - 1)
  const end = offsets[group + 1] ?? 0
  const start = Math.max(from, offsets[group] ?? 0)
  if (remainders === undefined) return start < end ? start : -1
  const remainder = second >>> 16
  for (let place = start; place < end; place++) if (remainders[place] === remainder) return place
  return -1
}

/** Gives up the sixteen bits and seven of eight groups. */
export const coarsened = ({ offsets }: RunFilter): RunFilter => {
  const groups = (offsets.length - 1) / COARSE_GROUPS
  const kept = new Uint32Array(groups + 1)
  for (let group = 0; group <= groups; group++) kept[group] = offsets[group * COARSE_GROUPS] ?? 0
  return { offsets: kept, remainders: undefined }
}

/** Takes fingerprints in their order. */
export class FilterBuilder {
  readonly #offsets: Uint32Array
  readonly #remainders: Uint16Array
  #group = 0
  #count = 0

  constructor(entriesMax: number) {
    this.#offsets = new Uint32Array(filterGroups(entriesMax) + 1)
    this.#remainders = new Uint16Array(entriesMax)
  }

  get sizeBytes(): number {
    return this.#offsets.byteLength + this.#remainders.byteLength
  }

  add(first: number, second: number): void {
    const group = groupOf(first, this.#offsets.length - 1)
    assert(group >= this.#group, 'fingerprints of a run come in order')
    assert(this.#count < this.#remainders.length, 'a filter is made large enough')
    while (this.#group < group) this.#offsets[++this.#group] = this.#count
    this.#remainders[this.#count] = second >>> 16
    this.#count += 1
  }

  finish(): RunFilter {
    while (this.#group < this.#offsets.length - 1) this.#offsets[++this.#group] = this.#count
    return { offsets: this.#offsets, remainders: this.#remainders.subarray(0, this.#count) }
  }
}

const GROUP_ENTRIES = 16
const COARSE_GROUPS = 8

const groupOf = (first: number, groups: number): number => Math.floor((first * groups) / 2 ** 32)
