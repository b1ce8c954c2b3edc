"""Publishes events over HTTP, one for each line of JSON on stdin: {"type": ..., "data": ...}.

    echo '{"type": "orders.placed", "id": "o-1", "data": {"orderId": "A-1", "cents": 900}}' |
      EVENTS_TOKEN=... python http_send.py http://127.0.0.1:7070/events --source /shop

Prints the answer for each event. Ends with 0 when every event was taken, now or before.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from cloud_event import CloudEvent, new_event, to_http_headers, to_json

# What another try may mend; everything else is for a person.
TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}


def post(
    url: str, headers: Mapping[str, str], body: bytes, *, tries: int
) -> tuple[int, Mapping[str, Any]]:
    """Sends the same bytes under the same ids until there is an answer; a repeat is harmless."""
    for number in range(1, tries + 1):
        pause = min(30.0, 0.2 * 2**number) * random.random()
        request = urllib.request.Request(url, data=body, headers=dict(headers), method="POST")
        try:
            with urllib.request.urlopen(request, timeout=15) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code not in TRY_AGAIN or number == tries:
                return error.code, json.load(error)
            pause = max(pause, float(error.headers.get("Retry-After", 0)))
        except OSError:
            # Nobody there, or no answer: perhaps it was taken. The next try will say.
            if number == tries:
                raise
        time.sleep(pause)
    raise AssertionError("unreachable")


def main() -> None:
    parser = argparse.ArgumentParser(description="Publishes events from stdin over HTTP.")
    parser.add_argument("url", help="the events endpoint, such as http://127.0.0.1:7070/events")
    parser.add_argument("--source", default="/python", help="who says it, a URI reference")
    parser.add_argument("--batch", type=int, default=1, help="events in one request")
    parser.add_argument("--tries", type=int, default=8, help="how often to send before giving up")
    options = parser.parse_args()
    authorization = {"Authorization": f"Bearer {os.environ['EVENTS_TOKEN']}"}

    events = [event_of(json.loads(line), options.source) for line in sys.stdin]
    refused = 0
    for start in range(0, len(events), options.batch):
        some = events[start : start + options.batch]
        if options.batch == 1:
            headers, body = to_http_headers(some[0]), some[0].data
        else:
            headers = {"Content-Type": "application/cloudevents-batch+json"}
            body = json.dumps([to_json(event) for event in some], ensure_ascii=False).encode()
        status, answer = post(options.url, {**headers, **authorization}, body, tries=options.tries)
        for result in answer.get("results", [answer]):
            print(json.dumps(result, ensure_ascii=False), flush=True)
        refused += status >= 300
    sys.exit(1 if refused else 0)


def event_of(said: Mapping[str, Any], source: str) -> CloudEvent:
    key = said.get("key", "")
    return new_event(said["type"], source=source, key=key, data=said["data"], id_=said.get("id"))


if __name__ == "__main__":
    main()
