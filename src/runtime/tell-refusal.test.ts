import { describe, expect, it } from 'vitest'
import type { Refusal } from '../ingress/index.ts'
import type { LogFields } from '../kernel/index.ts'
import { createVirtualKernel } from '../testing/index.ts'
import type { RuntimeEventBody } from './events.ts'
import { createRefusalTeller } from './tell-refusal.ts'

const refusal: Refusal = {
  webhook: 'acme',
  status: 401,
  code: 'JUNCTURA_SIGNATURE_REFUSED',
  reason: 'signature',
  detail: 'too-old',
  skewMs: 301_000,
  remoteAddress: '192.0.2.7',
  atMs: 0,
}

const createListener = () => {
  const kernel = createVirtualKernel()
  const lines: { readonly level: string; readonly fields: LogFields }[] = []
  const at = (level: string) => (fields: LogFields) => void lines.push({ level, fields })
  const log = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
  const events: RuntimeEventBody[] = []
  const publish = (event: RuntimeEventBody): void => void events.push(event)
  const tell = createRefusalTeller({ events: { publish }, kernel: { ...kernel, log } })
  return { clock: kernel.clock, lines, events, tell }
}

describe('what operators are told of refused requests', () => {
  it('is the cause and the skew, in the event and in the log line', () => {
    const { lines, events, tell } = createListener()

    tell(refusal)

    const told = { webhook: 'acme', status: 401, reason: 'signature', detail: 'too-old' }
    const { code } = refusal
    expect(events).toEqual([{ kind: 'refused', ...told, code, skewSeconds: 301 }])
    expect(lines).toEqual([
      { level: 'warn', fields: { ...told, code, skewSeconds: 301, address: '192.0.2.7' } },
    ])
  })

  it('is one line a minute and cause in a flood, with how many there were since', async () => {
    const { clock, lines, events, tell } = createListener()
    for (let n = 0; n < 1_000; n++) tell(refusal)
    tell({ ...refusal, detail: 'mismatch' })
    await clock.advance(60_000)
    tell(refusal)
    await clock.advance(60_000)
    tell(refusal)

    expect(events).toHaveLength(1_003)
    expect(lines.map(({ fields }) => [fields['detail'], fields['alsoSinceLastLine']])).toEqual([
      ['too-old', undefined],
      ['mismatch', undefined],
      ['too-old', 999],
      ['too-old', undefined],
    ])
  })

  it('is no warning where somebody only asked for what is not there', () => {
    const { lines, tell } = createListener()
    const { detail: _, skewMs: __, webhook: ___, ...rest } = refusal

    tell({ ...rest, webhook: undefined, reason: 'route', code: 'JUNCTURA_ROUTE_UNKNOWN' })

    expect(lines).toMatchObject([{ level: 'info', fields: { webhook: '', reason: 'route' } }])
  })
})
