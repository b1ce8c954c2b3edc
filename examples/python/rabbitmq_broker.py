"""A channel of Junctura on RabbitMQ is the topic exchange `junctura.CHANNEL`."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pika
import pika.exceptions

from cloud_event import CloudEvent, from_amqp, to_amqp_headers

# It survives the loss of a node, and so does what it confirmed.
_QUORUM = {"x-queue-type": "quorum"}


def consume(url: str, channel: str, name: str, handle: Callable[[CloudEvent], None]) -> None:
    """Calls `handle` for each event, in order, for ever.

    The queue holds what comes from the moment at which it is made, also while nobody reads: name it
    in the options of the transport, and Junctura makes it before it publishes. An event is
    acknowledged after `handle` has returned: what it did may come again, and nothing is skipped.
    One at a time, and in one process, because what comes again would come after later ones.
    """
    connection = pika.BlockingConnection(pika.URLParameters(url))
    try:
        wire = connection.channel()
        exchange, queue = f"junctura.{channel}", f"junctura.{channel}.{name}"
        if not _is_there(connection, queue):
            wire.queue_declare(queue, durable=True, arguments=_QUORUM)
        wire.queue_bind(queue, exchange, routing_key="#")
        wire.basic_qos(prefetch_count=1)
        for delivery, properties, body in wire.consume(queue):
            handle(from_amqp(properties.headers, properties.content_type, body))
            wire.basic_ack(delivery.delivery_tag)
    finally:
        connection.close()


def produce(url: str, topic: str, events: Iterable[CloudEvent]) -> None:
    """Returns when the broker has confirmed every event. The topic is a queue of that name."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    try:
        wire = connection.channel()
        wire.queue_declare(topic, durable=True, arguments=_QUORUM)
        # From here on, publishing waits for the confirmation, and raises when there is none.
        wire.confirm_delivery()
        for event in events:
            properties = pika.BasicProperties(
                headers=to_amqp_headers(event),
                content_type=event.attributes["datacontenttype"],
                message_id=event.attributes["id"],
                delivery_mode=pika.DeliveryMode.Persistent,
            )
            wire.basic_publish("", topic, event.data, properties, mandatory=True)
    finally:
        connection.close()


def _is_there(connection: pika.BlockingConnection, queue: str) -> bool:
    """Asked on a channel of its own: the broker closes one that asks for what is not there."""
    try:
        connection.channel().queue_declare(queue, passive=True)
    except pika.exceptions.ChannelClosedByBroker as closed:
        if closed.reply_code != 404:
            raise
        return False
    return True
