/** What a server of one kind needs: where it comes from, how it is laid out, started and asked. */
export interface Recipe {
  /** Ports that it takes; clients talk to the first. */
  readonly portCount: number
  /** The signal that ends it in good order. */
  readonly stopSignal: NodeJS.Signals
  /** Who runs it, where that may not be the superuser. */
  user?(): ServerUser
  /** Brings what is missing on this machine, or says what to install. Costs nothing again. */
  fetch(): Promise<void>
  /** Writes its configuration and its empty data. */
  layOut(place: Place): Promise<void>
  /** What to run; asked at each start, when no process of the server is left. */
  command(place: Place): Promise<ServerCommand>
  /** Whether it serves clients now. */
  answers(place: Place): Promise<boolean>
  url(port: number): string
}

/** Where one server lives. */
export interface Place {
  readonly directory: string
  readonly ports: readonly number[]
  /** Where clients reach the server, when that is not its first port. */
  readonly advertisedPort?: number
  /** Settings of the server in its own words, over those that the recipe chose. */
  readonly settings: Readonly<Record<string, string>>
}

export interface ServerCommand {
  readonly file: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

export interface ServerUser {
  readonly uid?: number
  readonly gid?: number
}

/** The port at `index`, for a recipe that asked for that many. */
export const portAt = (place: Place, index: number): number => {
  const port = place.ports[index]
  if (port === undefined) throw new Error(`only ${place.ports.length} ports were asked for`)
  return port
}
