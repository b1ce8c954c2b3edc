import { describe, expect, it } from 'vitest'
import { applySettings, parseGiven } from './json-input.ts'
import { utf8 } from '../kernel/index.ts'

describe('--set', () => {
  it('refuses what sets nothing, and a way that leads through a value without members', () => {
    expect(() => applySettings({}, ['orderId'], 1)).toThrow('it sets nothing')
    expect(() => applySettings({ a: 'text' }, ['a.b=1'], 1)).toThrow('the way there is no object')
  })

  it('never reaches the prototype of objects', () => {
    const changed = applySettings({}, ['__proto__.polluted=1', 'constructor.prototype.p=1'], 1)

    expect(Reflect.get({}, 'polluted')).toBeUndefined()
    expect(Reflect.get({}, 'p')).toBeUndefined()
    expect(Object.keys(Object(changed))).toEqual(['__proto__', 'constructor'])
  })

  it('reads JSON where it is JSON, text where it is not, and text always with :=', () => {
    const settings = ['a=1', 'b=one', 'c:=1', 'd={"e":[1]}', 'f=', 'g=a=b', 'h=null']

    expect(applySettings({}, settings, 1)).toEqual({
      a: 1,
      b: 'one',
      c: '1',
      d: { e: [1] },
      f: '',
      g: 'a=b',
      h: null,
    })
  })

  it('makes the objects on the way, goes into lists, counts, and leaves the original alone', () => {
    const original = { items: [{ sku: 'a' }] }

    expect(applySettings(original, ['x.y.z=ORDER-{n}', 'items.0.sku=b'], 7)).toEqual({
      items: [{ sku: 'b' }],
      x: { y: { z: 'ORDER-7' } },
    })
    expect(original).toEqual({ items: [{ sku: 'a' }] })
  })
})

describe('given data', () => {
  it('is refused when it is no UTF-8 or no JSON', () => {
    expect(() => parseGiven(Uint8Array.of(0xff))).toThrow('no UTF-8')
    expect(() => parseGiven(utf8('{'))).toThrow('no JSON')
  })
})
