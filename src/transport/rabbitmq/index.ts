export * from './rabbitmq-broker.ts'
