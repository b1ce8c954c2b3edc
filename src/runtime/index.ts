export * from './commands.ts'
export * from './events.ts'
export * from './runtime-port.ts'
export * from './views.ts'
