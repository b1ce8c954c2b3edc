export * from './nats-broker.ts'
export { openNatsTopic } from './open-nats-topic.ts'
