import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  COMMANDS,
  type MemberSpec,
  type MemberSpecs,
  OPERATION_MEMBERS,
  type ParameterSpec,
  PUBLISH_MEMBERS,
  type Route,
  ROUTES,
} from '../src/manage/index.ts'
import { SCHEMAS, type SchemaObject } from './openapi-schemas.ts'

/** Where the document is kept; it ships with the package. */
export const OPENAPI_PATH = 'schemas/management-api.openapi.json'

/** The OpenAPI 3.1 document of the management API, from its route table. */
const buildOpenApi = (): SchemaObject => {
  const paths: Record<string, Record<string, SchemaObject>> = {}
  for (const route of ROUTES) {
    paths[route.path] = { ...paths[route.path], [route.method.toLowerCase()]: operationOf(route) }
  }
  return {
    openapi: '3.1.1',
    info: {
      title: 'Junctura management API',
      version: '1',
      summary: 'Sees and drives a running integration.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: 'http://127.0.0.1:7071' }],
    security: [{ token: [] }, {}],
    paths: { ...PROBES, ...paths },
    components: {
      securitySchemes: {
        token: {
          type: 'http',
          scheme: 'bearer',
          description: 'Asked where the listener was started with a token.',
        },
      },
      schemas: SCHEMAS,
    },
  }
}

/** The document as the file holds it. */
const openApiText = (): string => `${JSON.stringify(buildOpenApi(), undefined, 2)}\n`

const refTo = (name: string): SchemaObject => ({ $ref: `#/components/schemas/${name}` })

const problem = (description: string): SchemaObject => ({
  description,
  content: { 'application/problem+json': { schema: refTo('Problem') } },
})

const probe = (summary: string, schema: string): SchemaObject => {
  const content = { 'application/json': { schema: refTo(schema) } }
  return {
    get: {
      summary,
      security: [{}],
      responses: {
        200: { description: 'Yes.', content },
        503: { description: 'No, with the reasons.', content },
      },
    },
  }
}

const PROBES: Readonly<Record<string, SchemaObject>> = {
  '/healthz': probe('Whether the process runs.', 'Alive'),
  '/readyz': probe('Whether it takes messages.', 'Ready'),
  '/errors/{code}': {
    get: {
      summary: 'What the `type` of a problem document means; HTML where `Accept` asks for it.',
      security: [{}],
      parameters: [{ name: 'code', in: 'path', required: true, schema: { type: 'string' } }],
      responses: {
        200: {
          description: 'The code.',
          content: { 'application/json': { schema: refTo('ErrorDescription') } },
        },
        404: problem('There is no such code.'),
      },
    },
  },
}

function operationOf(route: Route): SchemaObject {
  const hasId = route.path.endsWith('/{id}')
  const parameters = [
    ...(hasId ? [{ name: 'id', in: 'path', required: true, schema: { type: 'string' } }] : []),
    ...route.parameters.map(parameterOf),
    ...(route.answer === 'stream' ? [LAST_EVENT_ID] : []),
  ]
  return {
    operationId: operationIdOf(route),
    summary: route.summary,
    ...(parameters.length > 0 && { parameters }),
    ...(route.method === 'POST' && { requestBody: bodyOf(route) }),
    responses: {
      200: { description: 'Done.', content: contentOf(route.answer) },
      400: problem('A parameter is unknown or out of range; `parameter` names it.'),
      401: problem('The token is missing or wrong.'),
      403: problem('A page of another origin asked.'),
      ...(hasId && { 404: problem('There is none with this id.') }),
      ...(route.method === 'POST' && {
        409: problem('Refused as it stands; `fix` says what to do.'),
        422: problem('The data does not fit its contract.'),
      }),
      503: problem('It cannot right now; `Retry-After` says when to ask again.'),
    },
  }
}

const LAST_EVENT_ID = {
  name: 'Last-Event-ID',
  in: 'header',
  description: 'The last event seen; the stream goes on after it.',
  schema: { type: 'integer', minimum: 0 },
}

/** `GET /api/v1/dead-letters/{id}` → `getDeadLettersId`. */
function operationIdOf({ method, path }: Route): string {
  const words = path
    .replace('/api/v1/', '')
    .split(/[^a-z]+/)
    .filter((word) => word !== '')
  const titled = words.map((word) => word.charAt(0).toUpperCase() + word.slice(1))
  return method.toLowerCase() + titled.join('')
}

function contentOf(answer: string): SchemaObject {
  if (answer === 'text') {
    return {
      'application/openmetrics-text; version=1.0.0; charset=utf-8': { schema: { type: 'string' } },
    }
  }
  if (answer === 'stream') return { 'text/event-stream': { schema: { type: 'string' } } }
  return { 'application/json': { schema: refTo(answer) } }
}

function parameterOf(spec: ParameterSpec): SchemaObject {
  return { name: spec.name, in: 'query', description: spec.summary, schema: valueOf(spec) }
}

function valueOf(spec: ParameterSpec): SchemaObject {
  if (spec.kind === 'choice') return { type: 'string', enum: spec.allowed }
  if (spec.kind === 'text') return { type: 'string', minLength: 1 }
  const { minimum, maximum } = spec
  return {
    type: 'integer',
    minimum,
    ...(maximum < Number.MAX_SAFE_INTEGER && { maximum }),
    ...(spec.default !== undefined && { default: spec.default }),
  }
}

function bodyOf(route: Route): SchemaObject {
  const schema = route.path.endsWith('/publish')
    ? objectOf(PUBLISH_MEMBERS)
    : objectOf(OPERATION_MEMBERS, { command: { oneOf: Object.entries(COMMANDS).map(commandOf) } })
  return { required: true, content: { 'application/json': { schema } } }
}

const commandOf = ([kind, members]: readonly [string, MemberSpecs]): SchemaObject =>
  objectOf(
    { kind: { kind: 'any', isRequired: true, summary: 'What to do.' }, ...members },
    {
      kind: { const: kind },
    },
  )

function objectOf(
  members: MemberSpecs,
  instead: Readonly<Record<string, SchemaObject>> = {},
): SchemaObject {
  const required = Object.keys(members).filter((name) => members[name]?.isRequired)
  return {
    type: 'object',
    additionalProperties: false,
    ...(required.length > 0 && { required }),
    properties: Object.fromEntries(
      Object.entries(members).map(([name, spec]) => [
        name,
        { ...(instead[name] ?? memberOf(spec)), description: spec.summary },
      ]),
    ),
  }
}

function memberOf(spec: MemberSpec): SchemaObject {
  const { minimum, maximum } = spec
  switch (spec.kind) {
    case 'any':
      return {}
    case 'boolean':
      return { type: 'boolean' }
    case 'integer':
      return {
        type: 'integer',
        ...(minimum !== undefined && { minimum }),
        ...(maximum !== undefined && { maximum }),
      }
    case 'text':
      if (spec.allowed) return { type: 'string', enum: spec.allowed }
      return {
        type: 'string',
        minLength: 1,
        ...(maximum !== undefined && { maxLength: maximum }),
      }
    case 'ids':
      return {
        type: 'array',
        minItems: 1,
        ...(maximum !== undefined && { maxItems: maximum }),
        items: { type: 'string', minLength: 1 },
      }
    case 'object':
    default:
      return objectOf(spec.members ?? {})
  }
}

/** Whether the committed document is the one that the routes make. */
export const isOpenApiCurrent = (root: string): boolean =>
  readFileSync(join(root, OPENAPI_PATH), 'utf8') === openApiText()

if (import.meta.main) {
  writeFileSync(join(import.meta.dirname, '..', OPENAPI_PATH), openApiText())
  process.stdout.write(`openapi: ${ROUTES.length} operations in ${OPENAPI_PATH}\n`)
}
