/** Numbers, times and texts as a tired person reads them. */

const count = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

let isUtc = false

export const usesUtc = () => isUtc
export const useUtc = (value) => {
  isUtc = value
}

export const formatCount = (value) => count.format(value)

/** `0.0312` → `3.1 %`; small shares are not rounded to nothing. */
export const formatShare = (ratio) => {
  const percent = ratio * 100
  if (percent === 0 || percent === 100) return `${percent} %`
  if (percent < 0.01) return '< 0.01 %'
  // 99.97 % is not all of them.
  const rounded = percent < 1 || percent > 99 ? Math.floor(percent * 100) / 100 : percent
  return `${percent < 1 || percent > 99 ? rounded.toFixed(2) : rounded.toFixed(1)} %`
}

/** A duration with two units at most: `240 ms`, `3.2 s`, `4 min 10 s`, `2 d 3 h`. */
export const formatDuration = (ms) => {
  if (ms === null || ms === undefined) return '–'
  if (ms < 10) return `${Math.round(ms * 10) / 10} ms`
  if (ms < SECOND) return `${Math.round(ms)} ms`
  if (ms < 10 * SECOND) return `${(ms / SECOND).toFixed(1)} s`
  if (ms < MINUTE) return `${Math.round(ms / SECOND)} s`
  if (ms < HOUR) return twoUnits(ms, [MINUTE, 'min'], [SECOND, 's'])
  if (ms < DAY) return twoUnits(ms, [HOUR, 'h'], [MINUTE, 'min'])
  return twoUnits(ms, [DAY, 'd'], [HOUR, 'h'])
}

function twoUnits(ms, [large, largeName], [small, smallName]) {
  const whole = Math.floor(ms / large)
  const rest = Math.floor((ms - whole * large) / small)
  return rest === 0 ? `${whole} ${largeName}` : `${whole} ${largeName} ${rest} ${smallName}`
}

/** How long ago, in one unit; a clock that differs a little does not make it the future. */
export const formatAge = (atMs, nowMs) => {
  const age = nowMs - atMs
  if (age < -5 * SECOND) return `in ${formatDuration(-age)}`
  if (age < SECOND) return 'just now'
  if (age < MINUTE) return `${Math.floor(age / SECOND)} s ago`
  if (age < HOUR) return `${Math.floor(age / MINUTE)} min ago`
  if (age < 2 * DAY) return `${Math.floor(age / HOUR)} h ago`
  return `${Math.floor(age / DAY)} d ago`
}

/** Date and time, always with its zone. */
export const formatTime = (atMs) => {
  const date = new Date(atMs)
  if (isUtc) return `${date.toISOString().slice(0, 19).replace('T', ' ')} UTC`
  const zone = -date.getTimezoneOffset()
  const local = new Date(atMs + zone * MINUTE).toISOString().slice(0, 19).replace('T', ' ')
  const sign = zone < 0 ? '−' : '+'
  const hours = String(Math.floor(Math.abs(zone) / 60)).padStart(2, '0')
  return `${local} ${sign}${hours}:${String(Math.abs(zone) % 60).padStart(2, '0')}`
}

/** Only the time of day, for the feed. */
export const formatClock = (atMs) => formatTime(atMs).slice(11, 19)

export const formatBytes = (bytes) => {
  if (bytes === null || bytes === undefined) return '–'
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let value = bytes
  let unit = 0
  while (value >= 1_000 && unit < units.length - 1) {
    value /= 1_000
    unit += 1
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`
}

export const plural = (number, one, many = `${one}s`) =>
  `${formatCount(number)} ${number === 1 ? one : many}`

/** What would hide, reorder or break text on a screen becomes its visible escape. */
const UNSAFE =
  // oxlint-disable-next-line no-control-regex -- these are what it is for
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g

export const visible = (text) =>
  text.replace(UNSAFE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
