"""Consumes what Junctura pushes: writes an invoice for each order, each order once.

    PUSH_SECRET=whsec_... python http_receive.py --port 8800 --inbox invoices.db

Answers 2xx when the effect is committed, 400 for an order that nobody can invoice, 401 to a
stranger. With --reply it answers an event of its own, which Junctura takes with the completion.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cloud_event import from_http, new_event, to_json
from inbox import Inbox
from webhook_signature import is_signed

BODY_BYTES_MAX = 1_048_576


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # A sender that says nothing must not hold a thread for ever.
    timeout = 30
    inbox_path = "invoices.db"
    replies = False

    def setup(self) -> None:
        super().setup()
        # A connection has a thread of its own, and so has its database connection.
        self.inbox = Inbox(self.inbox_path)

    def finish(self) -> None:
        self.inbox.close()
        super().finish()

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", "-1"))
        if not 0 <= length <= BODY_BYTES_MAX:
            self.close_connection = True
            return self.answer(413, {"error": "no length, or more than a mebibyte"})
        body = self.rfile.read(length)
        if not is_signed(self.headers, body, os.environ["PUSH_SECRET"], now=time.time()):
            return self.answer(401, {"error": "who are you?"})
        event = from_http(self.headers.items(), body)
        order = event.json()
        if order["cents"] < 0:
            return self.answer(400, {"error": f"order {order['orderId']} costs less than nothing"})
        with self.inbox.once(event) as transaction:
            if transaction is not None:
                transaction.execute(
                    "insert into received (type, key, data) values (?, ?, ?)",
                    (event.type, event.key, event.data.decode()),
                )
        if not self.replies:
            return self.answer(204)
        # The same id for the same order: the answer may be lost, and is then asked for again.
        invoiced = new_event(
            "orders.invoiced",
            source="/invoices",
            key=order["orderId"],
            data={"orderId": order["orderId"], "cents": order["cents"]},
            id_=f"invoice of {event.identity[1]}",
        )
        self.answer(200, to_json(invoiced), "application/cloudevents+json")

    def answer(
        self, status: int, document: object = None, media_type: str = "application/json"
    ) -> None:
        body = b"" if document is None else json.dumps(document, ensure_ascii=False).encode()
        self.send_response(status)
        if body:
            self.send_header("Content-Type", media_type)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description="Writes an invoice for each order, once.")
    parser.add_argument("--port", type=int, default=8800, help="0 takes a free one")
    parser.add_argument("--inbox", default="invoices.db", help="SQLite file with the effects")
    parser.add_argument("--reply", action="store_true", help="answer an event for each order")
    options = parser.parse_args()
    Receiver.inbox_path = options.inbox
    Receiver.replies = options.reply
    with ThreadingHTTPServer(("127.0.0.1", options.port), Receiver) as server:
        print(f"http://127.0.0.1:{server.server_port}/", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            sys.exit(130)


if __name__ == "__main__":
    main()
