export { createMemoryDisk, createMemoryStore, MEMORY_FEATURES } from '../store/index.ts'
export type { MemoryDisk, MemoryStoreOptions } from '../store/index.ts'
export * from './store-conformance.ts'
export * from './broker-conformance.ts'
export * from './contract-tests/index.ts'
export * from './memory-broker.ts'
export type { SkippedCase, SuiteRunner } from './register-cases.ts'
export { createVirtualClock, type VirtualClock, type VirtualClockOptions } from './virtual-clock.ts'
export * from './virtual-kernel.ts'
export * from './simulator/faults.ts'
export { describeFailure, simulate } from './simulator/simulate.ts'
export type {
  SimulationFailure,
  SimulationOptions,
  SimulationReport,
} from './simulator/simulate.ts'
export * from './simulator/situations.ts'
export type { Delivery, SimulatedMessage } from './simulator/simulated-sender.ts'
export type { MakeBody } from './simulator/plan-traffic.ts'
export type { MakeEmitted } from './simulator/simulated-outboxes.ts'
export type { CheckWorld, SimulatedWorld } from './simulator/world.ts'
