"""The broker that a URL names: one line changes, the program stays."""

from __future__ import annotations

import importlib
from types import ModuleType
from urllib.parse import urlsplit

_MODULES = {"kafka": "kafka_broker", "nats": "nats_broker", "amqp": "rabbitmq_broker"}


def broker_of(url: str) -> ModuleType:
    """A module with `consume` and `produce`; only its own client library has to be installed."""
    scheme = urlsplit(url).scheme
    if scheme not in _MODULES:
        raise SystemExit(f"{scheme}:// is no broker; use kafka://, nats:// or amqp://")
    return importlib.import_module(_MODULES[scheme])
