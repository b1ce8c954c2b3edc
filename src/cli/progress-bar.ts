import { formatDuration } from '../kernel/index.ts'

export interface Progress {
  readonly done: number
  readonly total: number
  readonly elapsedMs: number
}

const WIDTH = 24

/** `▕██████░░░░░▏ 312/480 30/s, 5s left`. */
export const renderProgress = ({ done, total, elapsedMs }: Progress): string => {
  const share = total === 0 ? 1 : Math.min(1, done / total)
  const filled = Math.round(share * WIDTH)
  const bar = `▕${'█'.repeat(filled)}${'░'.repeat(WIDTH - filled)}▏`
  const perSecond = elapsedMs > 0 ? (done * 1_000) / elapsedMs : 0
  const rate = perSecond > 0 ? ` ${perSecond.toFixed(perSecond < 10 ? 1 : 0)}/s` : ''
  const leftMs = perSecond > 0 ? ((total - done) / perSecond) * 1_000 : 0
  const left = leftMs >= 1_000 ? `, ${formatDuration(Math.round(leftMs / 1_000) * 1_000)} left` : ''
  return `${bar} ${done}/${total}${rate}${left}`
}
