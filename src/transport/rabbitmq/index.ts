export * from './rabbitmq-broker.ts'
export { openRabbitmqQueue } from './rabbitmq-queue.ts'
