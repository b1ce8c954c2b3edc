import { spawnSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'

describe('the order saga example', () => {
  it('takes back what the choreographed twin leaves charged, and tells who must know', () => {
    const script = new URL('start.ts', import.meta.url).pathname
    const { status, stdout, stderr } = spawnSync(process.execPath, [script], { encoding: 'utf8' })

    expect([status, stderr]).toEqual([0, ''])
    const [conducted = '', heard = ''] = stdout.split('choreographed\n')
    expect(conducted).toMatch(/a-good +reserved charged shipped +completed/)
    expect(conducted).toMatch(/c-uncaptured +reserved charged refunded released +compensated/)
    expect(conducted).toMatch(/e-closed +reserved charged released +compensation-stuck/)
    expect(conducted).toMatch(/told bank: order e-closed cannot take back payments\.charge#1/)
    expect(heard).toMatch(/c-uncaptured +reserved charged +missed "paid": charge should have acted/)
    expect(heard).toMatch(/told bank: refund .*the account is closed/)
  })
})
