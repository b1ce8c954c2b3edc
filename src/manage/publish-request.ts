import { type Draft, type Integration, sagaChannel } from '../contract/index.ts'
import { invalidParameter } from './parameters.ts'
import { checkMembers, type MemberSpecs } from './read-members.ts'
import type { JsonObject } from './read-json-body.ts'

export const PUBLISH_MEMBERS: MemberSpecs = {
  type: { kind: 'text', isRequired: true, summary: 'Name of a contract of the integration.' },
  data: { kind: 'any', isRequired: true, summary: 'Data of the latest version of the contract.' },
  version: {
    kind: 'integer',
    minimum: 1,
    summary: 'The version that `data` is written for; refused when it is not the latest.',
  },
}

/** @throws JUNCTURA_PARAMETER_INVALID naming the member, what is allowed, and the fix. */
export const readPublishRequest = (body: JsonObject, integration: Integration): Draft => {
  checkMembers(body, PUBLISH_MEMBERS)
  const type = String(body['type'])
  // What goes into the channel of a saga is the engine's: people use the operations for it.
  const internal = new Set(integration.sagas.map(({ name }) => sagaChannel(name)))
  const contract = internal.has(type) ? undefined : integration.contracts.get(type)
  if (!contract) {
    const allowed = [...integration.contracts.keys()].filter((name) => !internal.has(name))
    throw invalidParameter('type', {
      problem: 'the integration has no such contract',
      allowed,
      fix: `Use one of: ${allowed.join(', ')}.`,
    })
  }
  const version = body['version'] ?? contract.latest
  if (version !== contract.latest) {
    throw invalidParameter('version', {
      problem: `what is published is written in version ${contract.latest}, the latest`,
      allowed: [String(contract.latest)],
      fix: `Send data of version ${contract.latest}, or leave version out.`,
    })
  }
  return { contract, data: body['data'] }
}
