export * from './memory-store.ts'
export { createMemoryDisk, type MemoryDisk } from './memory-disk.ts'
