"""Consumes a channel of Junctura, each event with one effect, and prints a line for each.

    python consume.py nats://127.0.0.1:4222 orders --inbox reporting.db
"""

from __future__ import annotations

import argparse
import json
import sys

from broker_of import broker_of
from cloud_event import CloudEvent
from inbox import Inbox


def main() -> None:
    parser = argparse.ArgumentParser(description="Consumes a channel of Junctura.")
    parser.add_argument("url", help="kafka://HOST:PORT, nats://HOST:PORT or amqp://HOST:PORT")
    parser.add_argument("channel", help="the channel, for example orders")
    parser.add_argument("--name", default="reporting", help="who consumes; keeps the place")
    parser.add_argument("--inbox", default="inbox.db", help="SQLite file with the effects")
    options = parser.parse_args()
    inbox = Inbox(options.inbox)

    def handle(event: CloudEvent) -> None:
        with inbox.once(event) as transaction:
            if transaction is None:
                return
            transaction.execute(
                "insert into received (type, key, data) values (?, ?, ?)",
                (event.type, event.key, event.data.decode()),
            )
        line = {"type": event.type, "key": event.key, "data": event.json()}
        print(json.dumps(line, ensure_ascii=False), flush=True)

    try:
        broker_of(options.url).consume(options.url, options.channel, options.name, handle)
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        inbox.close()


if __name__ == "__main__":
    main()
