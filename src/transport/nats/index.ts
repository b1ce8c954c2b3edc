export * from './nats-broker.ts'
export { openNatsTopic } from './nats-topic.ts'
