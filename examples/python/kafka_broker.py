"""A channel of Junctura on Kafka is the topic `junctura.CHANNEL`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from cloud_event import CloudEvent, from_kafka, to_kafka_headers


def consume(url: str, channel: str, name: str, handle: Callable[[CloudEvent], None]) -> None:
    """Calls `handle` for each event, in order per key, for ever.

    The place is committed after `handle` has returned: what it did may come again, and nothing is
    skipped. Processes with the same name share the partitions.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": urlsplit(url).netloc,
            "group.id": name,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            # How long the partitions of a process that has died wait for another one.
            "session.timeout.ms": 10_000,
            "isolation.level": "read_committed",
        }
    )
    consumer.subscribe([f"junctura.{channel}"])
    try:
        while True:
            for message in consumer.consume(num_messages=100, timeout=0.5):
                if message.error() is not None:
                    _raise_unless_passing(message.error())
                    continue
                handle(from_kafka(message.headers(), message.value()))
                consumer.commit(message=message, asynchronous=False)
    finally:
        consumer.close()


def produce(url: str, topic: str, events: Iterable[CloudEvent]) -> None:
    """Returns when the broker has confirmed every event; raises when it took one of them not."""
    servers = {"bootstrap.servers": urlsplit(url).netloc}
    _create_topic(AdminClient(servers), topic)
    # Idempotent: a retry of the client neither doubles nor reorders.
    producer = Producer({**servers, "enable.idempotence": True, "partitioner": "murmur2_random"})
    failures: list[KafkaError] = []

    def on_delivery(error: KafkaError | None, _message: object) -> None:
        if error is not None:
            failures.append(error)

    for event in events:
        producer.produce(
            topic,
            key=event.key,
            value=event.data,
            headers=to_kafka_headers(event),
            on_delivery=on_delivery,
        )
        producer.poll(0)
    if producer.flush(30) > 0:
        raise TimeoutError(f"{topic}: not every event was confirmed within 30 seconds")
    if failures:
        raise KafkaException(failures[0])


def _create_topic(admin: AdminClient, topic: str) -> None:
    (created,) = admin.create_topics([NewTopic(topic, num_partitions=4)]).values()
    try:
        created.result(30)
    except KafkaException as failure:
        if failure.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise


def _raise_unless_passing(error: KafkaError) -> None:
    """The client goes on by itself after a lost connection or while a topic is being made."""
    passing = error.retriable() or error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART
    if not passing:
        raise KafkaException(error)
