export * from './nats-broker.ts'
