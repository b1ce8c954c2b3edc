import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type EngineName, type EngineState } from './engine-instance.ts'

/** Of this checkout, unless it is said: two of them do not take each other's servers down. */
const FOLDER =
  process.env['JUNCTURA_ENGINES_STATE'] ||
  join(dirname(dirname(import.meta.dirname)), '.tmp', 'engines')

export const loadState = (name: EngineName): EngineState | undefined => {
  try {
    return JSON.parse(readFileSync(fileOf(name), 'utf8'))
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}

export const saveState = (state: EngineState): void => {
  mkdirSync(FOLDER, { recursive: true })
  const file = fileOf(state.name)
  writeFileSync(`${file}.${process.pid}`, JSON.stringify(state))
  renameSync(`${file}.${process.pid}`, file)
}

export const removeState = (name: EngineName): void => {
  rmSync(fileOf(name), { force: true })
}

const fileOf = (name: EngineName): string => join(FOLDER, `${name}.json`)
