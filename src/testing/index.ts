export * from './virtual-clock.ts'
export * from './virtual-kernel.ts'
