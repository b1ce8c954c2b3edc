import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { createManagementApi, type ManageResponse, ROUTES } from '../src/manage/index.ts'
import { compileValidator, type Validator } from '../src/schema/index.ts'
import { createVirtualKernel } from '../src/testing/index.ts'
import { ids, showIncident } from '../test/pages/incident.fixture.ts'
import { scriptedRuntime } from '../test/pages/scripted-runtime.fixture.ts'
import { isOpenApiCurrent, OPENAPI_PATH } from './openapi.ts'
import { SCHEMAS } from './openapi-schemas.ts'

const root = join(import.meta.dirname, '..')
const validators = new Map<string, Validator>()

/** The named schema with what it refers to, as a schema of its own. */
function validatorOf(name: string): Validator {
  const known = validators.get(name)
  if (known) return known
  const text = JSON.stringify({ ...SCHEMAS[name], $defs: SCHEMAS })
  const schema = JSON.parse(text.replaceAll('#/components/schemas/', '#/$defs/'))
  const validator = compileValidator(schema, name)
  validators.set(name, validator)
  return validator
}

const api = (() => {
  const runtime = scriptedRuntime(createVirtualKernel())
  showIncident(runtime)
  return createManagementApi({ runtime })
})()

const ask = (target: string, body?: object): Promise<ManageResponse> =>
  api.handle({
    method: body === undefined ? 'GET' : 'POST',
    target,
    rawHeaders: ['host', 'localhost', 'content-type', 'application/json'],
    remoteAddress: '::1',
    readBody: () =>
      Promise.resolve({ kind: 'bytes', bytes: Buffer.from(JSON.stringify(body ?? {})) }),
  })

const faultsIn = (schema: string, answer: ManageResponse): readonly unknown[] => {
  const value: unknown = JSON.parse(typeof answer.body === 'string' ? answer.body : '')
  const validation = validatorOf(schema).validate(value)
  return validation.ok ? [] : validation.errors
}

const SAMPLES: Readonly<Record<string, string>> = {
  '/api/v1/messages/{id}': ids('msg', 1),
  '/api/v1/dead-letters/{id}': ids('dead', 1),
  '/api/v1/invalid/{id}': ids('inv', 1),
  '/api/v1/expectations/{id}': 'paid',
  '/api/v1/saga-runs/{id}': 'order?key=a',
}

const BODIES: Readonly<Record<string, object>> = {
  '/api/v1/operations': { command: { kind: 'consumer.pause', name: 'finance' }, reason: 'x' },
  '/api/v1/publish': { type: 'orders.placed', data: { orderId: 'A' } },
}

describe('the OpenAPI document', () => {
  it(`is the one that the routes make: node tools/openapi.ts writes ${OPENAPI_PATH}`, () => {
    expect(isOpenApiCurrent(root)).toBe(true)
  })

  describe('describes what is answered', () => {
    beforeAll(() => {
      for (const name of Object.keys(SCHEMAS)) validatorOf(name)
    })

    // No replay is shown, so that one answers 404; text and stream have no schema.
    const routes = ROUTES.filter(
      ({ answer, path }) => answer in SCHEMAS && path !== '/api/v1/replays/{id}',
    )
    it.each(routes.map((route) => [route.method, route.path, route] as const))(
      '%s %s',
      async (method, path, route) => {
        const target = path.replace('{id}', SAMPLES[path] ?? '')
        const answer = await ask(target, method === 'POST' ? BODIES[path] : undefined)
        expect(answer.status).toBe(200)
        expect(faultsIn(route.answer, answer)).toEqual([])
      },
    )

    it('covers every route but those without a JSON answer', () => {
      expect(ROUTES.length - routes.length).toBe(3)
    })

    it('probes and problems too', async () => {
      expect(faultsIn('Alive', await ask('/healthz'))).toEqual([])
      expect(faultsIn('Ready', await ask('/readyz'))).toEqual([])
      expect(faultsIn('Problem', await ask('/api/v1/messages?status=x'))).toEqual([])
      expect(faultsIn('Problem', await ask('/api/v1/messages?limit=x'))).toEqual([])
      expect(faultsIn('Problem', await ask('/nowhere'))).toEqual([])
    })

    it('and refuses what is not', () => {
      const { ok } = validatorOf('Published').validate({ schemaVersion: 1, id: 'a', more: 1 })
      expect(ok).toBe(false)
    })
  })
})
