import type { Integration } from '../contract/index.ts'
import { isJuncturaError, type Kernel, messageOf } from '../kernel/index.ts'
import {
  type BrokerChoice,
  brokerChannelsOf,
  brokerName,
  brokerOpener,
  isBroker,
  recordedContracts,
  type TransportChoice,
} from '../runtime/index.ts'
import { type Broker, refusedRecord } from '../transport/index.ts'
import { type Check, fail, ok, warn } from './doctor-check.ts'

/** Asks each live broker whether it fits; changes nothing there. */
export const checkTransports = async (
  kernel: Kernel,
  choices: readonly TransportChoice[],
  integration: Integration | undefined,
): Promise<readonly Check[]> => {
  const checks: Check[] = []
  for (const choice of choices.filter(isBroker)) {
    checks.push(...(await checkBroker(kernel, choice, integration)))
  }
  return checks
}

/** Contracts whose only record is this broker: what it promises is all that they have. */
const checkRecords = async (
  broker: Broker,
  integration: Integration,
): Promise<readonly Check[]> => {
  const contracts = recordedContracts(integration)
  if (contracts.length === 0) return []
  const { engine, durability, reading } = broker.features
  if (!broker.record || reading !== 'offset') {
    const { message, advice } = refusedRecord({
      engine,
      contracts: contracts.join(', '),
      problem: 'what a consumer took from it cannot be read again',
    })
    return [fail('record', message, advice)]
  }
  const text =
    `${engine} is the only record of ${contracts.join(', ')}: what it confirmed survives as ` +
    `"${durability}", and its data wiped is these messages lost`
  const told = durability === 'replicated' ? ok('record', text) : warn('record', text, REPLICATE)
  const checks = [told]
  for (const { channel, isRecord } of brokerChannelsOf(integration)) {
    if (isRecord !== true) continue
    try {
      const { settings, problems } = await broker.record(channel).describe()
      checks.push(ok('record', `channel ${channel}: ${settings}`))
      for (const { resource, problem, fix } of problems) {
        checks.push(warn('record', `${resource}: ${problem}`, fix))
      }
    } catch (error) {
      checks.push(
        ok('record', `channel ${channel} is made by the first start: ${messageOf(error)}`),
      )
    }
  }
  return checks
}

const REPLICATE =
  'Keep three copies (Kafka: replication factor 3, min.insync.replicas 2; NATS: ?replicas=3), or ' +
  "write record: 'store'"

const checkBroker = async (
  kernel: Kernel,
  choice: BrokerChoice,
  integration: Integration | undefined,
): Promise<readonly Check[]> => {
  let broker: Broker | undefined
  try {
    broker = await brokerOpener(choice)({ kernel, onState: () => undefined })
    const { durability, unitOfOrder } = broker.features
    const text = `${brokerName(choice)} answers; what it confirmed survives as "${durability}", order per ${unitOfOrder}`
    const problems = await broker.check(integration ? brokerChannelsOf(integration) : [])
    return [
      ok('transport', text),
      ...(integration ? await checkRecords(broker, integration) : []),
      ...problems.map(({ severity, resource, problem, fix }) =>
        (severity === 'error' ? fail : warn)('transport', `${resource}: ${problem}`, fix),
      ),
    ]
  } catch (error) {
    const code = isJuncturaError(error) ? ` (${error.code})` : ''
    const fix = isJuncturaError(error) ? error.advice : 'Look at the cause.'
    return [fail('transport', `${messageOf(error)}${code}`, fix)]
  } finally {
    await broker?.close()
  }
}
