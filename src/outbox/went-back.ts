import { JuncturaError } from '../kernel/index.ts'

/**
 * A database that was put back from a copy gives numbers again that were moved before. Going on
 * would skip the new rows that have them, so the relay stops until a person has looked.
 */
export const wentBack = (
  outbox: string,
  { last, head }: { readonly last: number; readonly head: number },
): JuncturaError => {
  const problem = `its database has gone back in time: its last number is ${last}, and ${head} was moved`
  const fix = `Put the newer database back, or raise its sequence above ${head} as docs/how-to says`
  return new JuncturaError('JUNCTURA_OUTBOX_REFUSED', { details: { outbox, problem, fix } })
}
