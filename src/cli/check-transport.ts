import type { Integration } from '../contract/index.ts'
import { isJuncturaError, type Kernel, messageOf } from '../kernel/index.ts'
import { brokerChannelsOf, openBroker, type TransportChoice } from '../runtime/index.ts'
import type { Broker } from '../transport/index.ts'
import { type Check, fail, ok, warn } from './doctor-check.ts'

/** Asks the live broker whether it fits; changes nothing there. */
export const checkTransport = async (
  kernel: Kernel,
  choice: TransportChoice,
  integration: Integration | undefined,
): Promise<readonly Check[]> => {
  let broker: Broker | undefined
  try {
    broker = await openBroker(choice, { kernel, onState: () => undefined })
    if (!broker) return [ok('transport', "the store's own log")]
    const { engine, durability, unitOfOrder } = broker.features
    const text = `${engine} answers; what it confirmed survives as "${durability}", order per ${unitOfOrder}`
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
