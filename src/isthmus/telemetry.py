"""What the operator sees: one structured line an exchange on standard error, and figures without anybody's identifier.

No query, no body, no header, no names: what is logged is listed in the signature. The audit trail is another thing.

Source: interfaces.md §9; field-faults F67.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TextIO, cast

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from isthmus.model.amounts import amount

REGISTRY = CollectorRegistry()
_LABELS = ("country", "transaction", "outcome")
EXCHANGES = Counter("isthmus_exchanges", "Exchanges by outcome", _LABELS, registry=REGISTRY)
BYTES = Counter("isthmus_exchange_bytes", "Bytes of what crossed", _LABELS, registry=REGISTRY)
DURATION = Histogram(
    "isthmus_exchange_seconds",
    "Duration of exchanges",
    _LABELS,
    registry=REGISTRY,
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
TOLERANCES = Counter(
    "isthmus_tolerances", "Answers of a country in which something was forgiven", ("peer", "word"), registry=REGISTRY
)

UNFULFILLED = Counter(
    "isthmus_unfulfilled_requirements",
    "Answers of a country, of those looked at, that do not fulfil a requirement of the border",
    ("peer", "requirement", "severity"),
    registry=REGISTRY,
)
LIMITS = Counter(
    "isthmus_limits",
    "Limits that were reached: what stops is refused, an alarm is for somebody to look at",
    ("limit", "country", "verdict"),
    registry=REGISTRY,
)
INTAKE = Counter(
    "isthmus_intake",
    "What was brought into the archive, by verdict",
    ("sender", "transaction", "verdict"),
    registry=REGISTRY,
)
EMERGENCIES = Counter(
    "isthmus_emergencies",
    "Emergency accesses: declared, and what of them needs somebody to look",
    ("country", "word"),
    registry=REGISTRY,
)
ALARM = Gauge("isthmus_alarm", "1 while this is not as it should be", ("word", "what"), registry=REGISTRY)
EXPIRES = Gauge(
    "isthmus_expires_seconds", "How long a key, certificate or list still holds", ("what",), registry=REGISTRY
)
TRUST_LIST = Gauge("isthmus_trust_list_number", "Number of the trust list that is followed", registry=REGISTRY)
FORWARDED = Counter(
    "isthmus_audit_forwarded",
    "Audit events handed to a national repository",
    ("repository", "outcome"),
    registry=REGISTRY,
)
WAITING = Gauge(
    "isthmus_audit_waiting",
    "Records of the trail that a repository has not been given yet",
    ("repository",),
    registry=REGISTRY,
)
ERASED = Counter("isthmus_audit_erased", "Records of the trail erased after their term", registry=REGISTRY)


class _Unfailing:
    """A stream that loses lines rather than end who writes them: on a full disk the trail has to go on, and to come back."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


def set_up(*, verbose: bool = False) -> None:
    """Log lines as JSON to standard error. Libraries speak only from warnings on: they would print addresses and bodies."""
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s", force=True
    )
    for name in ("aiohttp", "asyncio", "uvicorn", "sqlalchemy"):
        logging.getLogger(name).setLevel(logging.ERROR)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if verbose else logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, _Unfailing(sys.stderr))),
        cache_logger_on_first_use=False,
    )


def log() -> Any:
    """The logger, with what `set_up` said."""
    return structlog.get_logger()


def exchange(
    log: Any,
    *,
    exchange_id: str,
    country: str,
    transaction: str,
    outcome: str,
    size_bytes: int,
    duration_ms: float,
) -> None:
    """One exchange has ended: one line, three figures."""
    labels = (country, transaction, outcome)
    EXCHANGES.labels(*labels).inc()
    BYTES.labels(*labels).inc(size_bytes)
    DURATION.labels(*labels).observe(duration_ms / 1000)
    log.info(
        "exchange",
        exchange_id=exchange_id,
        country=country,
        transaction=transaction,
        outcome=outcome,
        size_bytes=size_bytes,
        duration_ms=round(duration_ms, 1),
    )


def failed(*, exchange_id: str, transaction: str, reason: str, message: str) -> None:
    """Why an exchange failed on our side, for whoever looks after it: a source that does not answer is said nowhere else."""
    if structlog.is_configured():
        log().warning("failed", exchange_id=exchange_id, transaction=transaction, reason=reason, message=message)


def limited(
    limit: str, *, country: str, verdict: Literal["stopped", "alarm"], exchange_id: str = "", told: bool = True
) -> None:
    """A limit was reached: a figure and a line, by its name and the country at the other end (ours for a sign-in). Of whom is in the trail.

    In a flood, which is not `told`, there is the figure alone.

    Source: trust.md §3.6.
    """
    LIMITS.labels(limit, country, verdict).inc()
    if told and structlog.is_configured():
        log().warning("limit", limit=limit, country=country, verdict=verdict, exchange_id=exchange_id)


def emergency(*, country: str, word: str) -> None:
    """An emergency was declared (`declared`), or something about one needs somebody: a figure, and a line that names nobody."""
    EMERGENCIES.labels(country, word).inc()
    if structlog.is_configured():
        log().warning("emergency", country=country, word=word)


def tolerated(*, country: str, transaction: str, words: Iterable[str]) -> None:
    """Something was forgiven in an answer of this country: a figure and a line for each word, which is one of ours.

    A process that never set up its lines, such as a command, writes none.

    Source: TOL-10.
    """
    for word in words:
        TOLERANCES.labels(country, word).inc()
        if structlog.is_configured():
            log().info("tolerated", country=country, transaction=transaction, word=word)


def unfulfilled(*, country: str, transaction: str, requirements: Iterable[tuple[str, str]]) -> None:
    """An answer of this country does not fulfil requirements: a figure and a line for each, by number and severity."""
    for number, severity in requirements:
        UNFULFILLED.labels(country, number, severity).inc()
        if structlog.is_configured():
            log().info("unfulfilled", country=country, transaction=transaction, requirement=number, severity=severity)


def alarmed(
    now: Iterable[tuple[str, str]], begun: Iterable[tuple[str, str, str]], over: Iterable[tuple[str, str]]
) -> None:
    """What is alarming now, by word and what it is about; a line for what has begun, with its sentence, and for what is over."""
    ALARM.clear()
    for word, what in now:
        ALARM.labels(word, what).set(1)
    if structlog.is_configured():
        for word, what, message in begun:
            log().error("alarm", word=word, what=what, message=message)
        for word, what in over:
            log().info("alarm over", word=word, what=what)


def holds(*, trust_list: int, expires: Mapping[str, float]) -> None:
    """The number of the list that is followed, and how many seconds each key, certificate and list still holds."""
    TRUST_LIST.set(trust_list)
    EXPIRES.clear()
    for what, left_s in expires.items():
        EXPIRES.labels(what).set(left_s)


def brought(
    *,
    exchange_id: str,
    sender: str,
    source: str,
    transaction: str,
    outcome: str,
    verdicts: Mapping[str, int],
    reasons: Mapping[str, int],
    size_bytes: int,
    duration_ms: float,
) -> None:
    """Somebody of the country brought something: who, into which source, what became of how much, and why. One line each."""
    for verdict, count in verdicts.items():
        INTAKE.labels(sender, transaction, verdict).inc(count)
    if structlog.is_configured():
        log().info(
            "intake",
            exchange_id=exchange_id,
            sender=sender,
            source=source,
            transaction=transaction,
            outcome=outcome,
            verdicts=dict(verdicts),
            reasons=dict(reasons),
            size_bytes=size_bytes,
            duration_ms=round(duration_ms, 1),
        )


def forwarded(repository: str, taken: int, refused: int) -> None:
    """Audit events were handed on; what was refused is put aside, and said."""
    FORWARDED.labels(repository, "taken").inc(taken)
    FORWARDED.labels(repository, "refused").inc(refused)
    if refused:
        forwarding(repository, f"it refuses {amount(refused, 'event')}: put aside, and given again")


def waiting(repository: str, records: int) -> None:
    WAITING.labels(repository).set(records)


def forwarding(repository: str, words: str) -> None:
    """Something about handing the trail on that an operator has to know: once, not at every try."""
    if structlog.is_configured():
        log().warning("audit forwarding", repository=repository, message=words)


def retained(through: str, records: int) -> None:
    """The term of some months of the trail is over: what they held of people is erased."""
    ERASED.inc(records)
    if structlog.is_configured():
        log().info("audit retention", through=through, records=records)


def metrics_text() -> bytes:
    """The figures as Prometheus reads them."""
    return generate_latest(REGISTRY)
