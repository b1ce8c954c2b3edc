export * from './kafka-broker.ts'
export { openKafkaTopic } from './kafka-topic.ts'
