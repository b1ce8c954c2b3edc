"""Says whether a request is from who holds the secret: Standard Webhooks, version v1.

The signature covers the id, the time and the bytes of the body, so check it before anything of the
body is believed, and over the bytes as they came.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping

TOLERANCE_SECONDS = 300


def is_signed(headers: Mapping[str, str], body: bytes, secret: str, *, now: float) -> bool:
    message_id = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    if not message_id or not timestamp.isascii() or not timestamp.isdigit():
        return False
    # An old request is a replay.
    if abs(now - int(timestamp)) > TOLERANCE_SECONDS:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    content = f"{message_id}.{timestamp}.".encode() + body
    expected = b"v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest())
    # While a secret is changed there is one signature for each; compared in constant time.
    given = headers.get("webhook-signature", "").split(" ")
    return any(hmac.compare_digest(expected, each.encode()) for each in given)
