export * from './kafka-broker.ts'
