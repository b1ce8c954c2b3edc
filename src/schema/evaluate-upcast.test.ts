import { describe, expect, test } from 'vitest'
import { isJuncturaError } from '../kernel/index.ts'
import { compileValidator } from './compile-validator.ts'
import { type UpcastPlan, evaluateUpcast, missingUpcast } from './evaluate-upcast.ts'

const needs = (...names: readonly string[]) =>
  compileValidator({ type: 'object', required: names }, 'schema')

const plan = (upcast: Readonly<Record<number, (data: object) => unknown>>): UpcastPlan => ({
  contract: 'orders.changed',
  // Declared out of order, with a number left out.
  validators: new Map([
    [4, needs('a', 'b', 'd')],
    [1, needs('a')],
    [2, needs('a', 'b')],
  ]),
  upcast: new Map(
    Object.entries(upcast).map(([version, lift]) => [
      Number(version),
      (data: unknown) => lift(Object(data)),
    ]),
  ),
})

const whole = plan({ 1: (data) => ({ ...data, b: 2 }), 2: (data) => ({ ...data, d: 4 }) })

const faultOf = (run: () => unknown): Readonly<Record<string, unknown>> => {
  try {
    run()
  } catch (error) {
    if (isJuncturaError(error, 'JUNCTURA_UPCAST_FAILED')) {
      return { ...error.details, message: error.message, cause: error.cause }
    }
    throw error
  }
  throw new Error('nothing failed')
}

describe('lifting that fails', () => {
  test('names a version without upcaster', () => {
    const gap = plan({ 1: (data) => ({ ...data, b: 2 }) })

    expect(faultOf(() => evaluateUpcast(gap, { data: { a: 1 }, from: 1, to: 4 }))).toMatchObject({
      contract: 'orders.changed',
      from: 1,
      to: 4,
      step: 2,
      reason: 'missing-step',
    })
    expect(missingUpcast(gap, { from: 1, to: 4 })).toBe(2)
  })

  test('keeps what the upcaster threw as cause, and its text out of the message', () => {
    const thrown = new TypeError('no total in someone@example.com')
    const broken = plan({
      1: () => {
        throw thrown
      },
    })
    const fault = faultOf(() => evaluateUpcast(broken, { data: { a: 1 }, from: 1, to: 2 }))

    expect(fault).toMatchObject({ reason: 'threw', step: 1, cause: thrown })
    expect(fault['message']).toContain('TypeError')
    expect(fault['message']).not.toContain('someone')
  })

  test('names the field that the next version refuses, at the step that made it', () => {
    const broken = plan({ 1: (data) => ({ ...data, b: 2 }), 2: (data) => data })
    const fault = faultOf(() => evaluateUpcast(broken, { data: { a: 1 }, from: 1, to: 4 }))

    expect(fault).toMatchObject({
      reason: 'invalid',
      step: 2,
      errors: [{ pointer: '/d', keyword: 'required' }],
    })
  })

  test('refuses a member set to undefined where the next version requires it', () => {
    const broken = plan({ 1: (data) => ({ ...data, b: undefined }) })

    expect(faultOf(() => evaluateUpcast(broken, { data: { a: 1 }, from: 1, to: 2 }))).toMatchObject(
      {
        reason: 'invalid',
      },
    )
  })

  test('refuses a promise', () => {
    const broken = plan({ 1: async (data) => data })
    const fault = faultOf(() => evaluateUpcast(broken, { data: { a: 1 }, from: 1, to: 2 }))

    expect(fault['message']).toContain('promise')
  })

  test('refuses to go back, and a version that is not declared', () => {
    const data = { a: 1 }

    expect(faultOf(() => evaluateUpcast(whole, { data, from: 2, to: 1 }))['reason']).toBe(
      'downcast',
    )
    expect(faultOf(() => evaluateUpcast(whole, { data, from: 3, to: 4 }))['reason']).toBe(
      'unknown-version',
    )
    expect(faultOf(() => evaluateUpcast(whole, { data, from: 1, to: 9 }))['reason']).toBe(
      'unknown-version',
    )
  })
})

describe('lifting that works', () => {
  test('goes step by step through the declared versions, and leaves the given data alone', () => {
    const data = Object.freeze({ a: 1 })

    expect(evaluateUpcast(whole, { data, from: 1, to: 4 })).toEqual({ a: 1, b: 2, d: 4 })
    expect(evaluateUpcast(whole, { data, from: 1, to: 2 })).toEqual({ a: 1, b: 2 })
    expect(missingUpcast(whole, { from: 1, to: 4 })).toBeUndefined()
    expect(data).toEqual({ a: 1 })
  })

  test('gives data of the asked version back as it is', () => {
    const data = { a: 1, b: 2 }

    expect(evaluateUpcast(whole, { data, from: 2, to: 2 })).toBe(data)
  })
})
