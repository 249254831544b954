"""One line an exchange, figures without anybody's identifier."""

from __future__ import annotations

import json
import logging

import pytest
import structlog

from isthmus import telemetry


@pytest.mark.fault("F67")
def test_an_exchange_is_one_line_of_json_with_what_is_listed_and_no_more(capsys: pytest.CaptureFixture[str]) -> None:
    before = logging.root.handlers[:]
    telemetry.set_up()

    telemetry.exchange(
        telemetry.log(),
        exchange_id="x-1",
        country="BB",
        transaction="ITI-67",
        outcome="complete",
        size_bytes=5,
        duration_ms=1.26,
    )
    out, err = capsys.readouterr()
    structlog.reset_defaults()
    logging.root.handlers[:] = before
    line = json.loads(err)

    assert out == ""
    assert set(line) - {"timestamp", "level", "event"} == {
        "exchange_id",
        "country",
        "transaction",
        "outcome",
        "size_bytes",
        "duration_ms",
    }


def test_a_failure_of_ours_says_which_exchange_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    before = logging.root.handlers[:]
    telemetry.set_up()

    telemetry.failed(
        exchange_id="x-1", transaction="ITI-67", reason="source-unavailable", message="pacs does not answer"
    )
    _, err = capsys.readouterr()
    structlog.reset_defaults()
    logging.root.handlers[:] = before
    line = json.loads(err)

    assert (line["event"], line["level"], line["exchange_id"]) == ("failed", "warning", "x-1")
    assert line["message"] == "pacs does not answer"


def test_the_figures_are_prometheus_text_without_an_exchange_id() -> None:
    telemetry.exchange(
        structlog.get_logger(),
        exchange_id="x-secret",
        country="CC",
        transaction="RAD-107",
        outcome="incomplete",
        size_bytes=7,
        duration_ms=100,
    )

    text = telemetry.metrics_text().decode()

    assert 'isthmus_exchanges_total{country="CC",outcome="incomplete",transaction="RAD-107"} 1.0' in text
    assert "x-secret" not in text
