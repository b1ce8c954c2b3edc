export { createMemoryDisk, createMemoryStore, MEMORY_FEATURES } from '../store/index.ts'
export type { MemoryDisk, MemoryStoreOptions } from '../store/index.ts'
export * from './store-conformance.ts'
export * from './broker-conformance.ts'
export * from './contract-tests/index.ts'
export * from './memory-broker.ts'
export type { SkippedCase, SuiteRunner } from './register-cases.ts'
export { createVirtualClock, type VirtualClock, type VirtualClockOptions } from './virtual-clock.ts'
export * from './virtual-kernel.ts'
export {
  answersAfter,
  declines,
  type Declines,
  fails,
  type Fails,
  inTurn,
  type InTurn,
  type Late,
  neverAnswers,
  type NoAnswer,
  type StubAnswer,
} from './saga/stub-answer.ts'
export type { SagaCrashReport } from './saga/crash-saga.ts'
export type {
  CheckAlternative,
  SagaAlternative,
  SagaAlternativesOptions,
  SagaAlternativesReport,
} from './saga/saga-alternatives.ts'
export type { EmittedEvent, SagaAlert, SagaTestResult, SentCommand } from './saga/saga-result.ts'
export type { EffectRun } from './saga/saga-scenario.ts'
export { type SagaTest, type SagaTestOptions, testSaga } from './saga/test-saga.ts'
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
