"""A channel of Junctura on NATS is the stream `junctura_CHANNEL`, with `_` for each dot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import nats
from nats.errors import TimeoutError as NothingCame
from nats.js.api import AckPolicy, ConsumerConfig, StreamConfig

from cloud_event import CloudEvent, from_nats, to_nats_headers


def consume(url: str, channel: str, name: str, handle: Callable[[CloudEvent], None]) -> None:
    """Calls `handle` for each event, in order, for ever.

    An event is acknowledged after `handle` has returned: what it did may come again, and nothing
    is skipped. One at a time, because an event that is delivered again would come after later ones.
    """
    asyncio.run(_consume(url, channel, name, handle))


async def _consume(
    url: str, channel: str, name: str, handle: Callable[[CloudEvent], None]
) -> None:
    connection = await nats.connect(url, max_reconnect_attempts=-1)
    try:
        stream = f"junctura_{channel.replace('.', '_')}"
        jetstream = connection.jetstream()
        await jetstream.add_consumer(
            stream,
            ConsumerConfig(
                durable_name=name, ack_policy=AckPolicy.EXPLICIT, ack_wait=10, max_ack_pending=1
            ),
        )
        subscription = await jetstream.pull_subscribe_bind(durable=name, stream=stream)
        while True:
            try:
                (message,) = await subscription.fetch(1, timeout=5)
            except NothingCame:
                continue
            handle(from_nats(message.headers, message.data))
            await message.ack_sync()
    finally:
        await connection.close()


def produce(url: str, topic: str, events: Iterable[CloudEvent]) -> None:
    """Returns when the server has confirmed every event. The topic is a stream of that name."""
    asyncio.run(_produce(url, topic, events))


async def _produce(url: str, topic: str, events: Iterable[CloudEvent]) -> None:
    connection = await nats.connect(url)
    try:
        jetstream = connection.jetstream()
        await jetstream.add_stream(StreamConfig(name=topic, subjects=[f"{topic}.>"]))
        for event in events:
            # By this id the server drops what is sent again because its answer was lost.
            headers = {**to_nats_headers(event), "Nats-Msg-Id": " ".join(event.identity)}
            await jetstream.publish(f"{topic}.{event.type}", event.data, headers=headers)
    finally:
        await connection.close()
