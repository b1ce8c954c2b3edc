import type { ConsumerRunner } from '../consumer/index.ts'
import type { Consumer } from '../contract/index.ts'

/** The runner in this process of the partition that a lane of a consumer belongs to. */
export const runnerOfLane = (
  runners: ReadonlyMap<string, ConsumerRunner>,
  consumer: string,
  laneOf: (consumer: Consumer) => string,
): ConsumerRunner | undefined => {
  const whole = runners.get(consumer)
  if (whole) return whole
  for (const runner of runners.values()) {
    if (runner.consumer.name === consumer && runner.hasLane(laneOf(runner.consumer))) return runner
  }
  return undefined
}
