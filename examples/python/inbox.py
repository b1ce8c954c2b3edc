"""Makes a repeat harmless: the effect of an event and the memory of it are one commit."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from cloud_event import CloudEvent

_TABLES = """
create table if not exists inbox (
  source text not null,
  id text not null,
  primary key (source, id)
) without rowid;
create table if not exists received (
  number integer primary key,
  type text not null,
  key text not null,
  data text not null
);
"""


class Inbox:
    """A broker delivers at least once: after a crash or a rewind, the same event comes again."""

    def __init__(self, path: str) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("pragma synchronous = full")
        self._database.executescript(_TABLES)

    @contextmanager
    def once(self, event: CloudEvent) -> Iterator[sqlite3.Connection | None]:
        """Gives the open transaction for the effect, or None for an event that had its effect."""
        database = self._database
        database.execute("begin immediate")
        try:
            claim = database.execute(
                "insert into inbox (source, id) values (?, ?) on conflict do nothing",
                event.identity,
            )
            yield database if claim.rowcount == 1 else None
            database.execute("commit")
        except BaseException:
            # Ctrl-C may come when the commit is already done.
            if database.in_transaction:
                database.execute("rollback")
            raise

    def close(self) -> None:
        self._database.close()
