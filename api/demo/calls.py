"""Calls: the spans that instrumentations record, with the attributes of the current semantic conventions.

Takes   who calls what, and how long it takes.
Gives   `Call`s: HTTP on both ends, databases, messages.

Conventions: https://opentelemetry.io/docs/specs/semconv/ (HTTP, database and messaging spans). What a span only knows at
its end, `http.response.status_code` and `error.type`, comes from `ending`.
"""

from __future__ import annotations

from collections.abc import Mapping

from .model import Call, Failure, Time

NETWORK = Time(0.9, 0.4)
"""What a call to a neighbour takes beside the neighbour's own time."""
DOMAIN = "shop.internal"
_GOOD = {"GET": 200, "POST": 201}


def serve(
    service: str,
    route: str,
    *children: Call,
    path: str = "",
    takes: Time,
    failures: tuple[Failure, ...] = (),
    attributes: Mapping[str, str | int] | None = None,
) -> Call:
    """A request that a service answers.

    Args:
        route: method and route, `GET /orders/{id}`; also the name of the span.
        path: the path asked for, with details instead of the route's names; the route itself if not given.
    """
    method, _, template = route.partition(" ")
    return Call(
        service=service,
        name=route,
        kind="server",
        scope="opentelemetry.instrumentation.fastapi",
        attributes={
            "http.request.method": method,
            "http.route": template,
            "url.path": path or template,
            "url.scheme": "http",
            "server.address": f"{service}.{DOMAIN}",
            "server.port": 8080,
            "network.protocol.version": "1.1",
            **(attributes or {}),
        },
        time=takes,
        http_status=_GOOD[method],
        children=children,
        failures=failures,
    )


def ask(caller: str, answer: Call, *, share: float = 1.0, together: bool = False, optional: bool = False) -> Call:
    """A request from one service to another: the caller's span around the answer's."""
    method, route = str(answer.attributes["http.request.method"]), str(answer.attributes["http.route"])
    address, port = answer.attributes["server.address"], answer.attributes["server.port"]
    return Call(
        service=caller,
        name=f"{method} {route}",
        kind="client",
        scope="opentelemetry.instrumentation.httpx",
        attributes={
            "http.request.method": method,
            "url.template": route,
            "url.full": f"http://{address}:{port}{answer.attributes['url.path']}",
            "server.address": address,
            "server.port": port,
            "peer.service": answer.service,
        },
        time=NETWORK,
        children=(answer,),
        share=share,
        together=together,
        optional=optional,
    )


def ask_outside(
    caller: str,
    route: str,
    *,
    host: str,
    path: str = "",
    takes: Time,
    share: float = 1.0,
    failures: tuple[Failure, ...] = (),
) -> Call:
    """A request to somebody else's API, which sends us no spans."""
    method, _, template = route.partition(" ")
    return Call(
        service=caller,
        name=route,
        kind="client",
        scope="opentelemetry.instrumentation.requests",
        attributes={
            "http.request.method": method,
            "url.template": template,
            "url.full": f"https://{host}{path or template}",
            "server.address": host,
            "server.port": 443,
        },
        time=takes,
        http_status=_GOOD[method],
        share=share,
        failures=failures,
    )


def sql(
    service: str,
    query: str,
    *,
    table: str,
    takes: Time,
    share: float = 1.0,
    only: str = "",
    never: str = "",
    failures: tuple[Failure, ...] = (),
) -> Call:
    """A statement to the service's PostgreSQL."""
    operation = query.partition(" ")[0]
    return Call(
        service=service,
        name=f"{operation} {table}",
        kind="client",
        scope="opentelemetry.instrumentation.psycopg",
        attributes={
            "db.system.name": "postgresql",
            "db.namespace": service,
            "db.operation.name": operation,
            "db.collection.name": table,
            "db.query.text": query,
            "server.address": f"postgres.{DOMAIN}",
            "server.port": 5432,
        },
        time=takes,
        share=share,
        only=only,
        never=never,
        failures=failures,
    )


def redis(service: str, command: str, *, takes: Time, share: float = 1.0, failures: tuple[Failure, ...] = ()) -> Call:
    """A command to Redis."""
    operation = command.partition(" ")[0]
    return Call(
        service=service,
        name=operation,
        kind="client",
        scope="opentelemetry.instrumentation.redis",
        attributes={
            "db.system.name": "redis",
            "db.namespace": "0",
            "db.operation.name": operation,
            "db.query.text": command,
            "server.address": f"redis.{DOMAIN}",
            "server.port": 6379,
        },
        time=takes,
        share=share,
        failures=failures,
    )


def search(service: str, index: str, *, takes: Time, failures: tuple[Failure, ...] = ()) -> Call:
    """A search in OpenSearch."""
    return Call(
        service=service,
        name=f"search {index}",
        kind="client",
        scope="opentelemetry.instrumentation.elasticsearch",
        attributes={
            "db.system.name": "opensearch",
            "db.operation.name": "search",
            "db.collection.name": index,
            "http.request.method": "POST",
            "server.address": f"opensearch.{DOMAIN}",
            "server.port": 9200,
        },
        time=takes,
        http_status=_GOOD["GET"],
        failures=failures,
    )


def work(service: str, name: str, *children: Call, takes: Time, share: float = 1.0) -> Call:
    """Something that a service does by itself."""
    return Call(
        service=service,
        name=name,
        kind="internal",
        scope=f"shop.{service}",
        attributes={},
        time=takes,
        children=children,
        share=share,
    )


def publish(service: str, topic: str, processing: Call, *, takes: Time) -> Call:
    """A message to a Kafka topic, and its processing by whoever listens."""
    return Call(
        service=service,
        name=f"send {topic}",
        kind="producer",
        scope="opentelemetry.instrumentation.confluent_kafka",
        attributes={**_message(topic, "send"), "messaging.kafka.message.key": "{order}"},
        time=takes,
        children=(processing,),
    )


def process(service: str, topic: str, *children: Call, delay: Time, takes: Time, failures: tuple[Failure, ...] = ()) -> Call:
    """The processing of a message, some time after it was sent."""
    return Call(
        service=service,
        name=f"process {topic}",
        kind="consumer",
        scope="opentelemetry.instrumentation.confluent_kafka",
        attributes={**_message(topic, "process"), "messaging.consumer.group.name": service},
        time=takes,
        children=children,
        failures=failures,
        delay=delay,
    )


def _message(topic: str, operation: str) -> dict[str, str | int]:
    return {
        "messaging.system": "kafka",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": topic,
        "server.address": f"kafka.{DOMAIN}",
        "server.port": 9092,
    }
