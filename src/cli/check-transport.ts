import type { Integration } from '../contract/index.ts'
import { isJuncturaError, type Kernel, messageOf } from '../kernel/index.ts'
import {
  type BrokerChoice,
  brokerChannelsOf,
  brokerName,
  brokerOpener,
  isBroker,
  type TransportChoice,
} from '../runtime/index.ts'
import type { Broker } from '../transport/index.ts'
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
