"""A CloudEvent in binary content mode, as Junctura writes and reads it everywhere.

Attributes travel as headers beside the data. Only the names of the headers differ:

    HTTP       ce-type            content-type for datacontenttype; percent-encoded as on NATS
    Kafka      ce_type            content-type for datacontenttype
    NATS       ce-type            percent-encoded where it is not plain ASCII
    RabbitMQ   cloudEvents:type   the property content_type for datacontenttype

See the CloudEvents 1.0.2 bindings for HTTP, Kafka, NATS and AMQP, each section 3.1.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote, unquote

# Everything printable but space, the double quote and the percent sign stays as it is.
_PLAIN = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')


@dataclass(frozen=True)
class CloudEvent:
    attributes: Mapping[str, str]
    data: bytes

    @property
    def type(self) -> str:
        return self.attributes["type"]

    @property
    def key(self) -> str:
        """Events of one key are in order."""
        return self.attributes.get("partitionkey", "")

    @property
    def identity(self) -> tuple[str, str]:
        """What says that two deliveries are the same event: no sender gives one id to two."""
        return self.attributes["source"], self.attributes["id"]

    def json(self) -> Any:
        return json.loads(self.data)


def new_event(
    type_: str, *, source: str, key: str, data: Any, id_: str | None = None
) -> CloudEvent:
    """An event of our own. Send it again with the same id, never with a new one."""
    now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    return CloudEvent(
        attributes={
            "specversion": "1.0",
            "id": id_ or str(uuid.uuid4()),
            "type": type_,
            "source": source,
            "time": now.replace("+00:00", "Z"),
            "datacontenttype": "application/json",
            **({"partitionkey": key} if key else {}),
        },
        data=json.dumps(data, ensure_ascii=False).encode(),
    )


# HTTP


def to_http_headers(event: CloudEvent) -> dict[str, str]:
    headers = {
        f"ce-{name}": quote(value, safe=_PLAIN) for name, value in event.attributes.items()
    }
    headers["content-type"] = headers.pop("ce-datacontenttype")
    return headers


def from_http(headers: Iterable[tuple[str, str]], data: bytes) -> CloudEvent:
    attributes = {}
    for written, value in headers:
        name = written.lower()
        if name.startswith("ce-"):
            attributes[name[3:]] = unquote(value, errors="strict")
        elif name == "content-type":
            attributes["datacontenttype"] = value
    return CloudEvent(attributes, data)


def to_json(event: CloudEvent) -> dict[str, Any]:
    """The whole event as one JSON document: structured mode, and one item of a batch."""
    return {**event.attributes, "data": event.json()}


# Kafka


def to_kafka_headers(event: CloudEvent) -> list[tuple[str, bytes]]:
    return [
        ("content-type" if name == "datacontenttype" else f"ce_{name}", value.encode())
        for name, value in event.attributes.items()
    ]


def from_kafka(headers: list[tuple[str, bytes | None]] | None, data: bytes | None) -> CloudEvent:
    attributes = {}
    for name, value in headers or []:
        text = (value or b"").decode()
        if name.startswith("ce_"):
            attributes[name[3:]] = text
        elif name == "content-type":
            attributes["datacontenttype"] = text
    return CloudEvent(attributes, data or b"")


# NATS

def to_nats_headers(event: CloudEvent) -> dict[str, str]:
    return {f"ce-{name}": quote(value, safe=_PLAIN) for name, value in event.attributes.items()}


def from_nats(headers: Mapping[str, str] | None, data: bytes) -> CloudEvent:
    attributes = {
        name[3:].lower(): unquote(value)
        for name, value in (headers or {}).items()
        if name.lower().startswith("ce-")
    }
    return CloudEvent(attributes, data)


# RabbitMQ


def to_amqp_headers(event: CloudEvent) -> dict[str, str]:
    return {
        f"cloudEvents:{name}": value
        for name, value in event.attributes.items()
        if name != "datacontenttype"
    }


def from_amqp(
    headers: Mapping[str, Any] | None, content_type: str | None, data: bytes
) -> CloudEvent:
    attributes = {
        name[len("cloudEvents:") :]: str(value)
        for name, value in (headers or {}).items()
        if name.startswith(("cloudEvents:", "cloudEvents_"))
    }
    if content_type is not None:
        attributes["datacontenttype"] = content_type
    return CloudEvent(attributes, data)
