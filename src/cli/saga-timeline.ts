import { type Clock, formatDuration } from '../kernel/index.ts'
import type { SagaNextView, SagaRunView, SagaWaitView } from '../runtime/index.ts'
import { escapeControl } from '../security/index.ts'
import { formatAge, formatTime } from './human-time.ts'
import type { Output } from './output.ts'
import type { Colour, Paint } from './paint.ts'
import { renderPayload } from './payload-text.ts'
import { renderFacts } from './table.ts'

interface Look {
  readonly clock: Pick<Clock, 'now'>
  readonly out: Pick<Output, 'paint'>
}

/**
 * A run for somebody who was woken: first what it is and what is wrong, then what it waits for and
 * what to do, then everything that happened, what takes it back in a lane of its own.
 */
export const renderRun = (run: SagaRunView, { clock, out }: Look): string => {
  const { paint } = out
  const age = (atMs: number | undefined): string | undefined =>
    atMs === undefined ? undefined : `${formatTime(atMs)} (${formatAge(clock, atMs)})`
  const head = renderFacts(
    [
      ['saga', `${run.saga} version ${run.version}`],
      ['key', run.key],
      ['state', run.isQuiet === true ? `${run.state}, and does not move` : run.state],
      ['owner', run.owner],
      ['started', age(run.startedAtMs)],
      ['moved', age(run.movedAtMs ?? run.updatedAtMs)],
      ['ended', age(run.endedAtMs)],
      ['taken back', run.cause && `${run.cause.kind}: ${run.cause.reason}`],
      ['problem', run.problem?.message],
      ['since', age(run.problem?.atMs)],
      ['fix', run.problem?.fix],
      ['repeats', run.repeats === 0 ? undefined : run.repeats],
      ['parent', run.parent && run.parent.split('/').map(decodeURIComponent).join(' ')],
      ['correlation', run.correlationId],
    ],
    paint,
  )
  const forward = run.entries.filter(({ step }) => !step.startsWith('undo:'))
  const undos = run.entries.filter(({ step }) => step.startsWith('undo:'))
  return [
    head,
    ...section(
      'waits for',
      run.waitsFor.map((one) => renderWait(one, clock)),
      paint,
    ),
    ...section(
      'what to do',
      run.next.map((one) => renderNext(run, one)),
      paint,
    ),
    ...section(
      'steps',
      forward.flatMap((one) => renderEntry(one, paint)),
      paint,
    ),
    ...section(
      'taken back',
      undos.flatMap((one) => renderEntry(one, paint)),
      paint,
    ),
    ...section(
      run.endedAtMs === undefined ? 'events it has not taken' : 'events nobody takes',
      run.inbox.map(({ time, type, id }) => `  ${time} ${escapeControl(`${type} ${id}`)}`),
      paint,
    ),
    ...section(
      'what people did',
      run.operations.map(
        ({ atMs, command, actor, reason, outcome }) =>
          `  ${formatTime(atMs)} ${escapeControl(`${command} by ${actor} (${reason}): ${outcome}`)}`,
      ),
      paint,
    ),
    ...section('input (masked)', [renderPayload(run.input)], paint),
    ...(run.output === undefined
      ? []
      : section('output (masked)', [renderPayload(run.output)], paint)),
  ].join('\n')
}

const section = (title: string, lines: readonly string[], paint: Paint): readonly string[] =>
  lines.length === 0 ? [] : ['', paint('bold', title), ...lines]

const renderWait = (wait: SagaWaitView, clock: Pick<Clock, 'now'>): string => {
  const { step, contract, owner, sinceMs, untilMs, state, error, hint } = wait
  const what = contract === undefined ? step : `${step} (${contract}, ${owner})`
  const until = untilMs === undefined ? '' : `, until ${formatTime(untilMs)}`
  const how = state === 'open' ? '' : `, ${state}`
  const why = [error, hint].flatMap((text) => (text === undefined ? [] : [`: ${text}`])).join('')
  return `  ${escapeControl(`${what} since ${formatTime(sinceMs)} (${formatAge(clock, sinceMs)})${until}${how}${why}`)}`
}

const VERBS: Readonly<Record<string, string>> = {
  'retry-step': 'retry',
  'skip-step': 'skip',
  'edit-step': 'edit',
}

/** As it can be pasted into a shell. */
const renderNext = ({ saga, key }: SagaRunView, { command, step, when }: SagaNextView): string => {
  const act = command.replace('saga.', '')
  const more =
    {
      'edit-step': ['--value', 'JSON'],
      signal: ['TYPE', '--data', 'JSON'],
    }[act] ?? []
  const words = [VERBS[act] ?? act, saga, key, ...(step === undefined ? [] : [step])]
  const line = ['junctura', 'sagas', ...words.map(quoted), ...more].join(' ')
  return `  ${escapeControl(line)}   # ${escapeControl(when)}`
}

/** A word as a shell takes it. */
export const quoted = (word: string): string =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`

const COLOURS: Readonly<Record<string, Colour>> = {
  done: 'green',
  open: 'yellow',
  retrying: 'yellow',
  'in-doubt': 'red',
  failed: 'red',
  declined: 'red',
  dropped: 'gray',
  skipped: 'yellow',
}

function renderEntry(entry: SagaRunView['entries'][number], paint: Paint): readonly string[] {
  const { step, kind, contract, owner, state, startedAtMs, endedAtMs } = entry
  const took = endedAtMs === undefined ? '' : ` in ${formatDuration(endedAtMs - startedAtMs)}`
  const tries = [
    ...(entry.attempts === undefined ? [] : [`${entry.attempts} failed`]),
    ...(entry.sent === undefined || entry.sent < 2 ? [] : [`asked ${entry.sent} times`]),
  ]
  const by = owner === undefined ? '' : ` by ${owner}`
  const what = `${step.replace(/^undo:/, '')}  ${kind}${contract === undefined ? '' : ` ${contract}`}${by}`
  const more = tries.length === 0 ? '' : ` (${tries.join(', ')})`
  const line = `  ${formatTime(startedAtMs)} ${paint(COLOURS[state] ?? 'gray', state.padEnd(9))} ${escapeControl(what)}${took}${more}`
  const notes = [entry.error, entry.reason].flatMap((note) =>
    note === undefined ? [] : [`      ${escapeControl(note)}`],
  )
  return [line, ...notes]
}
