export * from './memory-store.ts'
export * from './inspect-disk.ts'
export { createMemoryDisk, type MemoryDisk } from './memory-disk.ts'
export type { JournalFile } from './memory-journal.ts'
