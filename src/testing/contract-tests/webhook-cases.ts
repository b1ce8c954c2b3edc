import { FORM } from '../../inbox/index.ts'
import { formatDuration, utf8 } from '../../kernel/index.ts'
import { compileValidator, makeInvalid } from '../../schema/index.ts'
import { putValue } from '../../security/index.ts'
import { type JsonSchema, valueAt, type Webhook } from '../../contract/index.ts'
import { type ContractCaseReport, expectKept, holds, told } from './contract-case.ts'
import { DEDUPE_CASES } from './dedupe-cases.ts'
import { DURABILITY_CASE } from './durability-case.ts'
import type { RequestPlan } from './test-partner.ts'
import {
  expectAccepted,
  expectNothingStored,
  expectProblem,
  type WebhookBench,
  type WebhookSubject,
} from './webhook-subject.ts'

/** One thing that is tried with every webhook. */
export interface WebhookCase {
  readonly case: string
  readonly label: string
  run(subject: WebhookSubject): Promise<ContractCaseReport>
}

const MINUTE_MS = 60_000

const VALID_CASE: WebhookCase = {
  case: 'valid',
  label: 'valid request',
  async run(subject) {
    const { webhook } = subject
    const versions = [...webhook.accepts.versions.keys()]
    for (const version of versions) {
      const { body, trouble } = await subject.goodBody(version)
      expectKept(
        trouble === undefined,
        `Its transform throws on example data of version ${version}: ${trouble ?? ''}`,
        "Mend the transform, or give data that it takes (`--example FILE`, the option `examples`, or `examples` in the contract's schema).",
      )
      const world = await subject.open()
      const answer = await world.ask({ body, version })
      const when = `To a signed, valid request of version ${version}`
      await expectAccepted(subject, world, { answer, when })
    }
    const { accepted } = webhook.verify.answer
    const which = versions.length === 1 ? '' : ` of each version (${versions.join(', ')})`
    return holds(`A genuine, valid request${which} is answered ${accepted} and is in the log.`)
  },
}

/** Sends requests that are not genuine; each must leave nothing behind. */
async function refuseAll(
  subject: WebhookSubject,
  wrongs: readonly { readonly when: string; readonly plan: Omit<RequestPlan, 'body'> }[],
): Promise<void> {
  const { body } = await subject.goodBody()
  const { bench, ask } = await subject.open()
  for (const { when, plan } of wrongs) {
    expectProblem(await ask({ ...plan, body }), 'JUNCTURA_SIGNATURE_REFUSED', when)
    await expectNothingStored(bench, when)
  }
}

const isUnsigned = ({ webhook: { verify } }: WebhookSubject): ContractCaseReport | undefined =>
  verify.kind === 'unsigned' ? told(`It takes unsigned requests: ${verify.reason}`) : undefined

const WRONG_SIGNATURE_CASE: WebhookCase = {
  case: 'wrong-signature',
  label: 'wrong signature',
  async run(subject) {
    const unsigned = isUnsigned(subject)
    if (unsigned) return unsigned
    const stranger = {
      when: "To a stranger's signature",
      plan: { signature: 'by-a-stranger' },
    } as const
    if (subject.webhook.verify.kind === 'bearer') {
      await refuseAll(subject, [stranger])
      return holds("A stranger's token is answered 401; nothing is kept.")
    }
    const other = {
      when: 'To a signature of other bytes',
      plan: { signature: 'of-other-bytes' },
    } as const
    await refuseAll(subject, [other, stranger])
    return holds("A signature of other bytes, and a stranger's, are answered 401; nothing is kept.")
  },
}

const MISSING_SIGNATURE_CASE: WebhookCase = {
  case: 'missing-signature',
  label: 'missing signature',
  async run(subject) {
    const unsigned = isUnsigned(subject)
    if (unsigned) return unsigned
    const when = 'To a request without a signature'
    await refuseAll(subject, [{ when, plan: { signature: 'missing' } }])
    return holds('A request without a signature is answered 401; nothing is kept.')
  },
}

/** Signed a minute too far from our clock, and just near enough. */
const timestampCase = (past: boolean): WebhookCase => ({
  case: past ? 'old-timestamp' : 'future-timestamp',
  label: past ? 'old timestamp' : 'future timestamp',
  async run(subject) {
    const unsigned = isUnsigned(subject)
    if (unsigned) return unsigned
    const { verify } = subject.webhook
    if (verify.kind !== 'signed' || verify.timestampUnit === undefined) {
      return told(`${verify.name} signs no timestamp: only the dedupe record stops an old request.`)
    }
    const toleranceMs = past ? verify.tolerance.pastMs : verify.tolerance.futureMs
    const sign = past ? -1 : 1
    const { body } = await subject.goodBody()
    const world = await subject.open()
    const nowMs = world.bench.clock.now()
    const far = formatDuration(toleranceMs + MINUTE_MS)
    const when = `To a request signed ${far} ${past ? 'ago' : 'ahead'}`
    const signedAtMs = nowMs + sign * (toleranceMs + MINUTE_MS)
    expectProblem(await world.ask({ body, signedAtMs }), 'JUNCTURA_SIGNATURE_REFUSED', when)
    await expectNothingStored(world.bench, when)
    const near = await world.ask({ body, signedAtMs: nowMs + sign * toleranceMs })
    const edge = `To a request signed at the edge of the tolerance of ${formatDuration(toleranceMs)}`
    await expectAccepted(subject, world, { answer: near, when: edge })
    return holds(
      `Signed ${far} ${past ? 'ago' : 'ahead'}: 401. At the edge of ${formatDuration(toleranceMs)}: taken.`,
    )
  },
})

/** A refused request must not use up its id: the mended one is sent under the same. */
async function expectKeyReleased(
  subject: WebhookSubject,
  world: WebhookBench,
  id: string,
): Promise<void> {
  const { body } = await subject.goodBody()
  const answer = await world.ask({ body, id })
  const when = 'To the mended request under the same id'
  await expectAccepted(subject, world, { answer, when })
}

async function expectKeptInvalid({ bench }: WebhookBench, reason: string): Promise<void> {
  const items = (await bench.drive(bench.runtime.invalid({})))?.items ?? []
  expectKept(
    items.some((item) => item.reason === reason),
    `It is not kept as invalid (${reason}), so it cannot be readmitted after a mend.`,
  )
}

/** Larger than any version that a contract will have. */
const UNKNOWN_VERSION = 999_999

const UNKNOWN_VERSION_CASE: WebhookCase = {
  case: 'unknown-version',
  label: 'unknown version',
  async run(subject) {
    const { version } = subject.webhook
    if (!version) return told('It reads no version from its requests: its contract has one only.')
    const { body } = await subject.goodBody()
    const [path = ''] = version.from === 'body' ? version.paths : []
    const unknown = version.from === 'body' ? putAnyway(body, path, UNKNOWN_VERSION) : body
    const world = await subject.open()
    const id = 'ct-unknown-version'
    const answer = await world.ask({ body: unknown, version: UNKNOWN_VERSION, id })
    expectProblem(answer, 'JUNCTURA_VERSION_UNKNOWN', 'To an unknown version')
    await expectKeptInvalid(world, 'version')
    await expectKeyReleased(subject, world, id)
    return holds('An unknown version is answered 422 and kept for a later mend; its id is free.')
  },
}

/** The body with a value that its schema does not allow. */
function putAnyway(body: unknown, path: string, value: unknown): unknown {
  const [step = '', ...rest] = path.split('.')
  if (typeof body !== 'object' || body === null) return body
  const inner: unknown = Object.hasOwn(body, step) ? Reflect.get(body, step) : {}
  return { ...body, [step]: rest.length === 0 ? value : putAnyway(inner, rest.join('.'), value) }
}

const INVALID_TRIES = 20

const INVALID_CASE: WebhookCase = {
  case: 'invalid-payload',
  label: 'invalid payload',
  async run(subject) {
    const world = await subject.open()
    const tornBody = tornBodyOf(subject)
    if (tornBody) {
      const torn = await world.ask({ body: tornBody, id: 'ct-torn' })
      expectProblem(torn, 'JUNCTURA_BODY_SYNTAX', 'To a body that is no JSON')
      await expectKeptInvalid(world, 'syntax')
    }
    const invalid = invalidBody(subject)
    if (invalid === undefined) {
      return told('A body that is no JSON is refused and kept. Its schema accepts everything else.')
    }
    const id = 'ct-invalid'
    const answer = await world.ask({ body: invalid, id })
    expectProblem(answer, 'JUNCTURA_BODY_INVALID', 'To a body that its schema refuses')
    const { errors } = answer.body
    const named = Array.isArray(errors) ? errors.length : 0
    expectKept(named > 0, 'The answer to an invalid body names no field.')
    await expectKeptInvalid(world, 'schema')
    await expectKeyReleased(subject, world, id)
    return holds(
      'No JSON, or a field at fault: 422 that names it, kept for a mend; its id is free.',
    )
  },
}

/** Undefined where a body that cannot be read could not be signed. */
function tornBodyOf({ webhook: { verify, contentTypes } }: WebhookSubject): Uint8Array | undefined {
  const isSignedInside =
    verify.kind === 'signed' && (verify.inBody !== undefined || verify.timestampPath !== undefined)
  if (isSignedInside) return undefined
  if (contentTypes[0] !== FORM) return utf8('{"torn": ')
  // A form in which nothing stands behind a percent sign cannot be signed as a form either.
  return verify.kind === 'signed' && verify.covers === 'form' ? undefined : utf8('torn=%')
}

/** Broken, but not where it says its version or its key: that is another way of being wrong. */
function invalidBody(subject: WebhookSubject): unknown {
  const { webhook, random } = subject
  const { schema } = subject.maker(webhook.accepts.latest)
  const path = webhook.version?.from === 'body' ? webhook.version.paths[0] : undefined
  for (let time = 0; time < INVALID_TRIES; time++) {
    const invalid = tryInvalid(schema, random)
    if (invalid === undefined) return undefined
    const version = path === undefined ? undefined : valueAt(invalid.value, path)
    const isOfVersion = path === undefined || String(version) === String(webhook.accepts.latest)
    if (isOfVersion && isInvalidSigned(webhook, schema, invalid.value)) return invalid.value
  }
  return undefined
}

/** A signature that stands in the body may mend what was broken there. */
function isInvalidSigned({ verify }: Webhook, schema: JsonSchema, value: unknown): boolean {
  if (verify.kind !== 'signed' || !verify.inBody) return true
  if (typeof value !== 'object' || value === null) return false
  const paths = [verify.inBody.signature, verify.inBody.id, verify.timestampPath]
  let signed = utf8(JSON.stringify(value))
  for (const path of paths) if (path !== undefined) signed = putValue(signed, path, '1')
  const data: unknown = JSON.parse(Buffer.from(signed).toString())
  return !compileValidator(schema, 'schema').validate(data).ok
}

function tryInvalid(
  ...given: Parameters<typeof makeInvalid>
): { readonly value: unknown } | undefined {
  try {
    return makeInvalid(...given)
  } catch {
    // The schema accepts everything, so nothing can be invalid.
    return undefined
  }
}

const OVERSIZE_CASE: WebhookCase = {
  case: 'oversize',
  label: 'oversize',
  async run(subject) {
    const { bodyBytesMax } = subject.webhook
    const { body } = await subject.goodBody()
    const text = JSON.stringify(body)
    const world = await subject.open()
    // White space is no error in JSON: only its size is wrong.
    const large = utf8(text + ' '.repeat(Math.max(1, bodyBytesMax + 1 - text.length)))
    const answer = await world.ask({ body: large })
    const when = `To a body above ${bodyBytesMax} bytes`
    expectProblem(answer, 'JUNCTURA_BODY_TOO_LARGE', when)
    await expectNothingStored(world.bench, when)
    return holds(`A body above ${bodyBytesMax} bytes is answered 413; nothing is kept.`)
  },
}

/** In the order in which they are shown. */
export const WEBHOOK_CASES: readonly WebhookCase[] = [
  VALID_CASE,
  WRONG_SIGNATURE_CASE,
  MISSING_SIGNATURE_CASE,
  timestampCase(true),
  timestampCase(false),
  ...DEDUPE_CASES,
  UNKNOWN_VERSION_CASE,
  INVALID_CASE,
  OVERSIZE_CASE,
  DURABILITY_CASE,
]
