export * from './kafka-broker.ts'
export { openKafkaTopic } from './open-kafka-topic.ts'
