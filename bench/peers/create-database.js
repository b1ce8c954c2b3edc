import pg from 'pg'

/** A database of its own on a running server. */
export async function createDatabase(serverUrl) {
  const name = `bench_${process.pid}_${Date.now()}`
  const ask = async (statement) => {
    const client = new pg.Client(serverUrl)
    await client.connect()
    await client.query(statement)
    await client.end()
  }
  await ask(`create database ${name}`)
  const url = new URL(serverUrl)
  url.pathname = `/${name}`
  return { url: url.href, drop: () => ask(`drop database if exists ${name} with (force)`) }
}
