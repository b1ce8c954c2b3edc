import { JuncturaError, LIMITS } from '../kernel/index.ts'

/** What stands in the place of personal data. */
export const MASK = '•••'

/** What stands in the place of a text in which personal data could not be looked for. */
export const WITHHELD = '(withheld: it may hold personal data)'

/** Masks what a contract calls personal, wherever it is shown (F57). */
export interface Masker {
  /**
   * A copy with the personal values replaced; what holds none is shared with the original. Text or
   * bytes in place of a document are replaced whole, because nothing in them can be told apart.
   */
  value(data: unknown): unknown
  /**
   * A free text, such as an error's message or stack, in which every occurrence of a personal value
   * of `data` is replaced, also in JSON, URL and other-case spelling. Mask before cutting a text:
   * half a value is not recognised. Longer than `LIMITS.maskTextCharsMax` is cut here.
   */
  text(text: string, data: unknown): string
}

/**
 * Makes a masker of a contract's paths, such as `customer.email` or `items.*.name`; `*` stands for
 * any one key or index. Arrays on the way are entered with or without it, since masking too much
 * is the smaller mistake. A path to an object or array masks all of it.
 *
 * @throws JUNCTURA_DECLARATION when a path has an empty step.
 */
export const createMasker = (paths: readonly string[]): Masker => {
  const root = createNode()
  for (const path of paths) addPath(root, path)
  const isEmpty = paths.length === 0
  return {
    value: (data) => {
      if (isEmpty) return data
      return maskAt(data, { nodes: [root], depth: 0, budget: createBudget() })
    },
    text: (text, data) => {
      if (isEmpty) return text
      const values = personalValues(root, data)
      return values ? replaceAll(text, values) : WITHHELD
    },
  }
}

interface PathNode {
  readonly children: Map<string, PathNode>
  any: PathNode | undefined
  isPersonal: boolean
}

interface Budget {
  nodesLeft: number
}

interface Place {
  /** All paths that lead here; several when `*` and a name both fit. */
  readonly nodes: readonly PathNode[]
  readonly depth: number
  readonly budget: Budget
}

const createNode = (): PathNode => ({ children: new Map(), any: undefined, isPersonal: false })

const createBudget = (): Budget => ({ nodesLeft: LIMITS.maskNodesMax })

function addPath(root: PathNode, path: string): void {
  let node = root
  for (const step of path.split('.')) {
    if (step === '') {
      const fix = 'write names joined by ".", such as customer.email or items.*.name'
      const problem = `${JSON.stringify(path)} has an empty step; ${fix}`
      throw new JuncturaError('JUNCTURA_DECLARATION', { details: { field: 'pii', problem, fix } })
    }
    const next = (step === '*' ? node.any : node.children.get(step)) ?? createNode()
    if (step === '*') node.any = next
    else node.children.set(step, next)
    node = next
  }
  node.isPersonal = true
}

function maskAt(value: unknown, place: Place): unknown {
  if (value === null || value === undefined) return value
  if (isExhausted(place) || place.nodes.some((node) => node.isPersonal)) return MASK
  // What is not the document that the contract describes cannot be judged by its paths.
  if (typeof value !== 'object') return typeof value === 'string' && isRoot(place) ? MASK : value
  if (ArrayBuffer.isView(value)) return isRoot(place) ? MASK : value
  if (Array.isArray(value)) {
    return value.map((each: unknown, index) => maskAt(each, elementPlace(place, index)))
  }
  const entries = Object.entries(value).map(([key, each]: [string, unknown]) => {
    const nodes = stepInto(place.nodes, key)
    return [key, nodes.length === 0 ? each : maskAt(each, inner(place, nodes))]
  })
  return Object.fromEntries(entries)
}

const isRoot = (place: Place): boolean => place.depth === 0

function isExhausted(place: Place): boolean {
  place.budget.nodesLeft -= 1
  return place.budget.nodesLeft < 0 || place.depth > LIMITS.jsonDepthMax
}

const inner = (place: Place, nodes: readonly PathNode[]): Place => ({
  nodes,
  depth: place.depth + 1,
  budget: place.budget,
})

/** An array may be entered without a step of its own. */
const elementPlace = (place: Place, index: number): Place =>
  inner(place, [...new Set([...place.nodes, ...stepInto(place.nodes, String(index))])])

function stepInto(nodes: readonly PathNode[], key: string): readonly PathNode[] {
  const next: PathNode[] = []
  for (const node of nodes) {
    const named = node.children.get(key)
    if (named) next.push(named)
    if (node.any) next.push(node.any)
  }
  return next
}

interface Personal {
  readonly texts: Set<string>
  readonly numbers: Set<string>
}

/** The personal values of a document, or undefined when there are too many to look for. */
function personalValues(root: PathNode, data: unknown): Personal | undefined {
  const found: Personal = { texts: new Set(), numbers: new Set() }
  const place = { nodes: [root], depth: 0, budget: createBudget() }
  return collect(data, place, found) ? found : undefined
}

function collect(value: unknown, place: Place, found: Personal): boolean {
  if (value === null || value === undefined) return true
  if (isExhausted(place)) return false
  if (place.nodes.some((node) => node.isPersonal)) return collectAll(value, place, found)
  if (typeof value !== 'object' || ArrayBuffer.isView(value)) return true
  if (Array.isArray(value)) {
    return value.every((each: unknown, at) => collect(each, elementPlace(place, at), found))
  }
  return Object.entries(value).every(([key, each]: [string, unknown]) => {
    const nodes = stepInto(place.nodes, key)
    return nodes.length === 0 || collect(each, inner(place, nodes), found)
  })
}

function collectAll(value: unknown, place: Place, found: Personal): boolean {
  if (value === null || value === undefined || typeof value === 'boolean') return true
  if (isExhausted(place)) return false
  if (typeof value === 'object') {
    if (ArrayBuffer.isView(value)) return true
    return Object.entries(value).every(([key, each]: [string, unknown]) => {
      // A key that is no field name, such as an address, is a value too.
      if (!Array.isArray(value) && !/^[\w-]*$/.test(key)) found.texts.add(key)
      return collectAll(each, inner(place, place.nodes), found)
    })
  }
  if (typeof value === 'string' && value.trim() !== '') found.texts.add(value)
  if (typeof value === 'number' || typeof value === 'bigint') found.numbers.add(String(value))
  return found.texts.size + found.numbers.size <= LIMITS.maskValuesMax
}

/** Short values are replaced only where they stand alone; elsewhere they are part of words. */
const isShort = (form: string): boolean => /^.{0,2}$/su.test(form)

/** Compiling and running a longer pattern would hold the loop. */
const PATTERN_CHARS_MAX = 65_536

function replaceAll(text: string, values: Personal): string {
  const searched = text.slice(0, LIMITS.maskTextCharsMax)
  const forms = [...values.texts].flatMap(spellings)
  const alternatives = [
    ...forms.map((form) => ({ form, isAlone: isShort(form) })),
    ...[...values.numbers].map((form) => ({ form, isAlone: true })),
  ]
    .filter(({ form }) => form.length <= searched.length)
    .sort((left, right) => right.form.length - left.form.length)
  const longest = alternatives[0]?.form.length ?? 0
  const source = alternatives.map(({ form, isAlone }) => patternOf(form, isAlone)).join('|')
  if (source.length > PATTERN_CHARS_MAX) return WITHHELD
  if (text.length === searched.length) {
    return source === '' ? text : text.replace(new RegExp(source, 'giu'), MASK)
  }
  return replaceUntil(searched, searched.length - longest, source)
}

/** Ends where a value that the cut has split cannot have begun. */
function replaceUntil(text: string, end: number, source: string): string {
  if (end <= 0) return WITHHELD
  let shown = ''
  let at = 0
  for (const match of source === '' ? [] : text.matchAll(new RegExp(source, 'giu'))) {
    if (match.index >= end) break
    shown += text.slice(at, match.index) + MASK
    at = match.index + match[0].length
  }
  const splitsPair = /[\ud800-\udbff]/.test(text.charAt(end - 1))
  return `${shown}${text.slice(at, Math.max(at, splitsPair ? end - 1 : end))}…`
}

/** The value as error messages, JSON and URLs write it, composed and decomposed. */
function spellings(value: string): readonly string[] {
  const trimmed = value.trim()
  const wellFormed = trimmed.replace(/\p{Cs}/gu, '\ufffd')
  return [
    ...new Set([
      trimmed,
      trimmed.normalize('NFC'),
      trimmed.normalize('NFD'),
      JSON.stringify(trimmed).slice(1, -1),
      encodeURIComponent(wellFormed),
      encodeURIComponent(wellFormed).replaceAll('%20', '+'),
    ]),
  ]
}

function patternOf(form: string, isAlone: boolean): string {
  const escaped = form.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')
  return isAlone ? `(?<![\\p{L}\\p{N}])${escaped}(?![\\p{L}\\p{N}])` : escaped
}
