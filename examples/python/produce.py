"""Publishes events, one for each line of JSON on stdin: {"type": ..., "key": ..., "data": ...}.

    echo '{"type": "shop.order-placed", "key": "o-1", "data": {"total": 9}}' |
      python produce.py kafka://127.0.0.1:9092 shop-orders --source /shop

Ends with 0 when the broker has confirmed every event.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator

from broker_of import broker_of
from cloud_event import CloudEvent, new_event


def main() -> None:
    parser = argparse.ArgumentParser(description="Publishes events from stdin.")
    parser.add_argument("url", help="kafka://HOST:PORT, nats://HOST:PORT or amqp://HOST:PORT")
    parser.add_argument("topic", help="our own topic, stream or queue; made when missing")
    parser.add_argument("--source", default="/python", help="who says it, a URI reference")
    options = parser.parse_args()

    def events() -> Iterator[CloudEvent]:
        for line in sys.stdin:
            said = json.loads(line)
            yield new_event(
                said["type"], source=options.source, key=said["key"], data=said["data"]
            )

    broker_of(options.url).produce(options.url, options.topic, events())


if __name__ == "__main__":
    main()
