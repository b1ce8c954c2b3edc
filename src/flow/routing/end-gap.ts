import type { Database, Draft, Envelope } from '../../contract/index.ts'
import {
  type GapRule,
  readSequence,
  release,
  type WaitingMessage,
  writeSequence,
} from './resequence.ts'

/** Numbers that did not come, or undefined where only the rest of a long run was handed out. */
export interface EndedGap {
  readonly gap: { readonly from: number; readonly to: number } | undefined
  readonly emitted: readonly { readonly draft: Draft; readonly envelope: Envelope }[]
}

/**
 * Deals with a sequence whose wait is over: what follows on is handed out; at a gap it goes on
 * behind it, or waits once more.
 */
export const endGap = async (
  db: Database,
  name: { readonly route: string; readonly sequence: string },
  at: { readonly rule: GapRule; readonly nowMs: number },
): Promise<EndedGap> => {
  const { rule, nowMs } = at
  const emitted: { readonly draft: Draft; readonly envelope: Envelope }[] = []
  const known = await readSequence(db, name)
  if (known?.dueAtMs === undefined) return { gap: undefined, emitted }
  const hand = ({ envelope, data }: WaitingMessage): void => {
    emitted.push({ draft: rule.emit(data), envelope })
  }
  const run = await release(db, { ...name, next: known.next }, hand)
  const isGap = run.next === known.next && run.lowest !== undefined
  if (!isGap || run.lowest === undefined) {
    const dueAtMs = run.waiting === 0 ? undefined : run.isCapped ? 0 : nowMs + rule.timeoutMs
    await writeSequence(db, name, { next: run.next, dueAtMs })
    return { gap: undefined, emitted }
  }
  const gap = { from: known.next, to: run.lowest - 1 }
  if (rule.onGap === 'wait') {
    await writeSequence(db, name, { next: known.next, dueAtMs: nowMs + rule.timeoutMs })
    return { gap, emitted }
  }
  const rest = await release(db, { ...name, next: run.lowest }, hand)
  const dueAtMs = rest.waiting === 0 ? undefined : rest.isCapped ? 0 : nowMs + rule.timeoutMs
  await writeSequence(db, name, { next: rest.next, dueAtMs })
  return { gap, emitted }
}
