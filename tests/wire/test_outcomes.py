"""Outcomes: the class Country A raised is the class Country B raises, and silence stays silence."""

from __future__ import annotations

import pytest

from isthmus import errors
from isthmus.wire import outcomes, tokens

BY_CLASS = [
    errors.MalformedRequest("", reason="value"),
    errors.MalformedRequest("", reason="search-mask"),
    errors.MalformedRequest("", reason="uid"),
    errors.UnsupportedRequest("", path="foo"),
    errors.UnsupportedRequest("", reason="media"),
    errors.TooLarge(""),
    errors.TooOften("", retry_after_s=7),
    errors.UntrustedCountry(""),
    errors.InvalidToken("", reason="token-expired"),
    errors.InvalidToken("", reason="token-missing"),
    errors.ContextMismatch(""),
    errors.InsufficientRights("", reason="role"),
    errors.ServiceNotOffered(""),
    errors.ImagesPreparing(""),
    errors.NationalInfrastructureUnavailable(""),
    errors.TrustListStale(""),
    errors.AuditUnavailable(""),
]
BY_TOKEN = [
    errors.InvalidAssertion("", reason="hpa-invalid"),
    errors.InvalidAssertion("", reason="client-assertion"),
    errors.Replayed("", reason="replay-hpa"),
    errors.Replayed(""),
    errors.WeakAuthentication("", acr_values="http://eidas.europa.eu/LoA/high"),
    errors.InsufficientRights("", reason="purpose"),
    errors.InvalidAssertion("", reason="presence"),
]


@pytest.mark.parametrize("error", BY_CLASS, ids=lambda e: f"{type(e).__name__}-{e.reason}")
def test_country_b_raises_the_class_country_a_raised(error: errors.IsthmusError) -> None:
    body = outcomes.write_outcome(error, "exchange-1")

    read = outcomes.read_outcome(error.meaning.status, body)

    assert (type(read), read.reason) == (type(error), error.reason)


@pytest.mark.parametrize("error", BY_TOKEN, ids=lambda e: f"{type(e).__name__}-{e.reason}")
def test_an_error_of_the_token_endpoint_comes_back_as_its_class(error: errors.IsthmusError) -> None:
    body, _ = tokens.write_token_error(error)

    read = outcomes.read_outcome(error.meaning.status, body)

    assert (type(read), read.reason) == (type(error), error.reason)


def test_absent_restricted_and_foreign_are_the_same_bytes() -> None:
    absent = outcomes.write_outcome(errors.DocumentNotFound("no row 17"), "a")
    restricted = outcomes.write_outcome(errors.NoConsent("directive 4", path="id"), "b")
    images = outcomes.write_outcome(errors.ImagesNotFound("series gone"), "c")

    assert absent == restricted == images


def test_only_a_problem_of_the_request_is_told_in_words() -> None:
    told = outcomes.write_outcome(errors.UnsupportedRequest("parameter foo is not known", path="foo"))
    untold = outcomes.write_outcome(errors.NationalInfrastructureUnavailable("connection to pacs-7 refused"))

    assert b"parameter foo" in told
    assert b"pacs-7" not in untold


@pytest.mark.parametrize("body", [None, b"", b"<html>", b"[1]", b'{"resourceType":"Patient"}', b"\xff\xfe"])
def test_a_body_that_says_nothing_is_read_by_status(body: bytes | None) -> None:
    assert isinstance(outcomes.read_outcome(410, body), errors.DocumentNotFound)
    assert isinstance(outcomes.read_outcome(404, body, absent=errors.ImagesNotFound), errors.ImagesNotFound)
    assert isinstance(outcomes.read_outcome(503, body), errors.NationalInfrastructureUnavailable)
    assert isinstance(outcomes.read_outcome(302, body), errors.CountryMisanswered)


def test_every_meaning_that_can_cross_has_a_class() -> None:
    never = {"no-consent", "settings", "usage", "stand-in"}

    for reason, meaning in errors.MEANINGS.items():
        if reason not in never:
            read = outcomes.read_outcome(meaning.status, outcomes.write_outcome(errors.IsthmusError("", reason=reason)))
            assert read.meaning.code in (meaning.code, "backend")


def test_when_to_come_again_and_how_to_show_oneself_stand_in_headers() -> None:
    assert ("Retry-After", "7") in outcomes.outcome_headers(errors.TooOften("", retry_after_s=7))
    assert ("WWW-Authenticate", "Bearer") in outcomes.outcome_headers(errors.InvalidToken("", reason="token-missing"))
    assert ("WWW-Authenticate", 'Bearer error="invalid_token"') in outcomes.outcome_headers(errors.InvalidToken(""))


def test_a_token_error_of_another_product_is_read_by_its_word() -> None:
    read = outcomes.read_outcome(400, b'{"error":"invalid_grant","error_uri":"https://docs.example/e"}')

    assert (type(read), read.reason) == (errors.InvalidAssertion, "hpa-invalid")


def test_which_level_would_do_comes_back_with_the_refusal() -> None:
    """As one country says it, the other reads it. Source: RFC 9470 §3."""
    error = errors.WeakAuthentication("too weak", acr_values="http://eidas.europa.eu/LoA/high")
    challenge = dict(outcomes.outcome_headers(error))["WWW-Authenticate"]

    read = outcomes.read_outcome(403, outcomes.write_outcome(error), challenge=challenge)

    assert isinstance(read, errors.WeakAuthentication)
    assert read.facts["acr_values"] == "http://eidas.europa.eu/LoA/high"


@pytest.mark.parametrize("challenge", [None, "", "Bearer", 'Bearer acr_values="', f'Bearer acr_values="{"x" * 300}"'])
def test_a_challenge_that_says_no_level_gives_none(challenge: str | None) -> None:
    assert "acr_values" not in outcomes.read_outcome(403, None, challenge=challenge).facts
