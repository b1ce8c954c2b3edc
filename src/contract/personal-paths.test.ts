import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { checkIntegration } from './check-integration.ts'
import { event } from './contract.ts'
import { integration } from './integration.ts'
import { unknownPersonalPaths } from './personal-paths.ts'
import type { SchemaInput } from './schema-input.ts'
import { team } from './system.ts'

const wrongIn = (pii: readonly string[], ...versions: readonly SchemaInput[]) =>
  unknownPersonalPaths(
    event('orders.placed', {
      owner: team('owners'),
      versions: Object.fromEntries(versions.map((schema, index) => [index + 1, schema])),
      pii,
    }),
  )

const wrongPaths = (pii: readonly string[], ...versions: readonly SchemaInput[]) =>
  wrongIn(pii, ...versions).map(({ path }) => path)

const text = { type: 'string' } as const
const customer = { type: 'object', properties: { email: text, name: text } } as const
const order = {
  type: 'object',
  properties: {
    customer,
    items: { type: 'array', items: { type: 'object', properties: { to: text } } },
  },
} as const

const conditional = (...branches: readonly (readonly [string, object])[]): SchemaInput =>
  Object.fromEntries([['type', 'object'], ['if', { required: ['a'] }], ...branches])

describe('the paths of personal data', () => {
  it('are known where a version lists them, into arrays with a step or without', () => {
    const paths = ['customer', 'customer.email', 'items.*.to', 'items.to', 'items.0.to', '*.email']
    expect(wrongPaths(paths, order)).toEqual([])
  })

  it('are wrong where no version lists them, and the closest known ones are named (F57)', () => {
    expect(
      wrongIn(['customer.mail', 'email', 'items.*.too', 'zzzzzzzzzzzz', 'a..b'], order),
    ).toEqual([
      { path: 'customer.mail', close: ['customer.email', 'customer.name', 'customer'] },
      { path: 'email', close: ['customer.email'] },
      { path: 'items.*.too', close: ['items.*.to', 'items'] },
      { path: 'zzzzzzzzzzzz', close: [] },
      { path: 'a..b', close: [] },
    ])
  })

  it('may belong to one version only', () => {
    const older = { type: 'object', properties: { phone: text } }
    expect(wrongPaths(['phone', 'customer.email', 'fax'], older, order)).toEqual(['fax'])
  })

  it('do not go on below a scalar', () => {
    expect(wrongPaths(['customer.email.host'], order)).toEqual(['customer.email.host'])
  })

  it.each<[string, SchemaInput, readonly string[]]>([
    ['an object that lists nothing', { type: 'object' }, []],
    ['any value', {}, []],
    ['additional members that it says it has', { ...order, additionalProperties: true }, []],
    ['additional members of a schema', { ...order, additionalProperties: customer }, []],
    ['members by pattern', { ...order, patternProperties: { '^x': {} } }, []],
    ['additional members that it excludes', { ...order, additionalProperties: false }, ['x.email']],
    ['a list of members', order, ['x.email']],
    ['a reference to elsewhere', { $ref: 'https://example.org/order' }, []],
    ['a branch that is open', { anyOf: [order, true] }, []],
    ['branches that are not', { anyOf: [order, { type: 'null' }] }, ['x.email']],
    [
      'parts that list',
      { allOf: [{ required: ['x'] }, { $ref: '#/$defs/o' }], $defs: { o: order } },
      ['x.email'],
    ],
    ['a condition', conditional(['then', order], ['else', customer]), ['x.email']],
    ['half a condition', conditional(['then', order]), []],
    ['no value', { properties: { x: false } }, ['x.email']],
  ])('are judged by what the schema says: %s', (_, schema, wrong) => {
    expect(wrongPaths(['x.email'], schema)).toEqual(wrong)
  })

  it('are found in a schema that refers to itself, at any depth', () => {
    const tree = { type: 'object', properties: { email: text, child: { $ref: '#' } } }
    expect(wrongPaths(['child.child.child.email', 'child.child.mail'], tree)).toEqual([
      'child.child.mail',
    ])
  })

  it('take one look at each schema, where references double at each level (F55)', () => {
    const $defs = Object.fromEntries(
      Array.from({ length: 60 }, (_, n) => {
        const next = n === 59 ? customer : { $ref: `#/$defs/d${n + 1}` }
        return [`d${n}`, { allOf: [next, next] }]
      }),
    )
    expect(wrongPaths(['email', 'mail'], { $ref: '#/$defs/d0', $defs })).toEqual(['mail'])
  })

  it('are read off the schemas of a library', () => {
    const person = z.object({
      email: z.string(),
      tags: z.record(z.string(), z.object({ by: z.string() })),
    })
    const schema = z.object({ person: person.optional().nullable() })
    const paths = ['person.email', 'person.tags.*.by', 'person.tags.*.from', 'person.mail']
    expect(wrongPaths(paths, schema)).toEqual(['person.tags.*.from', 'person.mail'])
    expect(wrongPaths(['person.mail'], z.looseObject({}))).toEqual([])
  })

  it('keep an integration from starting when one is wrong, with the contract and the fix', () => {
    const Placed = event('orders.placed', {
      owner: team('owners'),
      versions: { 1: order },
      pii: ['customer.mail'],
    })
    expect(checkIntegration(integration('shop', { parts: [Placed] }))).toMatchObject([
      {
        rule: 'pii-path',
        part: 'event "orders.placed"',
        problem: expect.stringContaining('"customer.mail"'),
        fix: expect.stringContaining("'customer.email'"),
      },
    ])
  })
})
