"""What follows from what the patient said."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from isthmus.consent.decision import Decision, DirectiveSet, decide, joined
from isthmus.consent.records import PERMITTED, Directive, checked_scope, read_record, write_record
from isthmus.consent.rules import Rules
from isthmus.consent.speaking import Recipient
from isthmus.errors import InsufficientRights, InvalidAssertion, MalformedRequest, NationalInfrastructureUnavailable
from isthmus.model.codes import SNOMED, Code
from isthmus.model.documents import Document, DocumentKind
from isthmus.model.identifiers import Identifier, PatientIdentifier
from isthmus.model.people import Organisation

NOW = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)
PATIENT = PatientIdentifier("urn:oid:2.999.2.1", "0042")
SERVICES = frozenset({"imaging-report", "imaging-manifest", "imaging-pixels"})
RULES = Rules(opt_in=False, presence=frozenset({"id-document"}), services=SERVICES)


EXAMPLES = {
    "study": "1.1", "report": "urn:uuid:r1", "period": "2024-05-01..2024-05-01", "modality": "CT", "region": "774007",
    "label": "PSY", "country": "BB", "organisation": "B1", "person": "BB/doctor-7", "role": "221", "purpose": "TREAT",
}  # fmt: skip


def said(kind: str, scope: str = "", *, active: bool = True, until: datetime | None = None) -> Directive:
    return Directive(f"d-{kind}-{scope}", kind, scope, PATIENT, NOW - timedelta(days=1), until, active)


def document(
    id_: str,
    *studies: str,
    kind: DocumentKind = DocumentKind.REPORT_FHIR,
    modality: str = "CT",
    region: str = "774007",
    started: str = "2024-05-01T10:00:00+02:00",
    accession: Identifier | None = None,
    labels: tuple[str, ...] = (),
    replaces: str | None = None,
) -> Document:
    return Document(
        id_, kind, PATIENT, Identifier("urn:ietf:rfc:3986", f"urn:uuid:{id_}"), id_, "2024-05-02T10:00:00Z",
        "2024-05-02T10:00:00Z", "application/fhir+json", studies, (accession,) if accession else (),
        modalities=(modality,), regions=(Code(SNOMED, region),), period_start=started, sensitivity=labels,
        custodian=Organisation("Hospital", "H1"), replaces=replaces,
    )  # fmt: skip


def manifest(id_: str, study: str, **more: str) -> Document:
    return document(id_, study, kind=DocumentKind.MANIFEST_FHIR, **more)  # type: ignore[arg-type]  # strings only


def deciding(
    *directives: Directive,
    role: str = "2212",
    purpose: str = "TREAT",
    presence: str = "id-document",
    rules: Rules = RULES,
    country: str = "BB",
    organisation: str = "B1",
    person: str = "doctor-7",
) -> Decision:
    return decide(
        who=Recipient(country, organisation, person, role, purpose), presence=presence, directives=DirectiveSet(directives),
        rules=rules, now=NOW, zone=ZoneInfo("Europe/Athens"),
    )  # fmt: skip


def seen(decision: Decision, *documents: Document) -> set[str]:
    return {d.id for d in decision.visible(documents)}


CT, MR, BOTH = manifest("m1", "1.1"), manifest("m2", "1.2", modality="MR"), document("r3", "1.1", "1.2")
REPORT = document("r1", "1.1")
ALL = (CT, MR, REPORT, BOTH)


def test_without_a_directive_everything_is_given() -> None:
    assert seen(deciding(), *ALL) == {"m1", "m2", "r1", "r3"}


def test_an_opt_out_leaves_nothing() -> None:
    assert seen(deciding(said("opt-out")), *ALL) == set()


def test_an_opt_out_beats_a_permission() -> None:
    assert seen(deciding(said("opt-out"), said("permit")), *ALL) == set()


@pytest.mark.parametrize("over", [said("opt-out", active=False), said("opt-out", until=NOW)])
def test_what_is_withdrawn_or_over_says_nothing(over: Directive) -> None:
    assert len(seen(deciding(over), *ALL)) == 4


def test_a_restricted_study_hides_its_reports_and_manifests() -> None:
    assert seen(deciding(said("restrict-study", "1.1")), *ALL) == {"m2"}


def test_a_restricted_report_hides_its_study() -> None:
    assert seen(deciding(said("restrict-report", "urn:uuid:r1")), *ALL) == {"m2"}


def test_a_restricted_report_hides_its_other_versions() -> None:
    first, second, third = document("a"), document("b", replaces="a"), document("c", replaces="b")

    assert seen(deciding(said("restrict-report", "b")), first, second, third, REPORT) == {"r1"}


def test_a_report_paired_by_accession_number_goes_with_its_study() -> None:
    number = Identifier("urn:oid:2.999.5", "A1")
    study = document("m", "1.1", kind=DocumentKind.MANIFEST_FHIR, accession=number)
    report = document("r", accession=number)

    assert seen(deciding(said("restrict-study", "1.1")), study, report) == set()
    assert seen(deciding(said("restrict-report", "r")), study, report) == set()


@pytest.mark.parametrize(
    ("kind", "scope", "left"),
    [
        ("restrict-imaging", "", set()),
        ("restrict-modality", "MR", {"m1", "r1"}),
        ("restrict-region", "774007", set()),
        ("restrict-region", "80891009", {"m1", "m2", "r1", "r3"}),
        ("restrict-period", "2024-05-01..2024-05-01", set()),
        ("restrict-period", "2024-05-02..2024-05-09", {"m1", "m2", "r1", "r3"}),
        ("restrict-country", "BB", set()),
        ("restrict-country", "CC", {"m1", "m2", "r1", "r3"}),
        ("restrict-organisation", "B1", set()),
        ("restrict-organisation", "H1", set()),
        ("restrict-organisation", "B2", {"m1", "m2", "r1", "r3"}),
        ("restrict-label", "PSY", {"m1", "m2", "r1", "r3"}),
        ("restrict-person", "BB/doctor-7", set()),
        ("restrict-person", "BB/doctor-8", {"m1", "m2", "r1", "r3"}),
        ("restrict-person", "CC/doctor-7", {"m1", "m2", "r1", "r3"}),
        ("restrict-role", "221", set()),
        ("restrict-role", "2221", {"m1", "m2", "r1", "r3"}),
        ("restrict-purpose", "TREAT", set()),
        ("restrict-purpose", "ETREAT", {"m1", "m2", "r1", "r3"}),
    ],
)
def test_each_restriction_hides_what_it_is_about(kind: str, scope: str, left: set[str]) -> None:
    assert seen(deciding(said(kind, scope)), *ALL) == left


def test_a_document_that_does_not_say_its_modality_counts_as_restricted() -> None:
    unsaid = Document(
        "x",
        DocumentKind.REPORT_PDF,
        PATIENT,
        Identifier(None, "x"),
        "x",
        "2024-01-01T00:00:00Z",
        "2024-01-01",
        "application/pdf",
    )

    assert seen(deciding(said("restrict-modality", "MR")), unsaid) == set()


def test_under_opt_in_nothing_is_given_without_a_permission() -> None:
    rules = Rules(opt_in=True, presence=RULES.presence, services=SERVICES)

    assert seen(deciding(rules=rules), *ALL) == set()
    assert len(seen(deciding(said("permit"), rules=rules), *ALL)) == 4
    assert seen(deciding(said("permit"), said("restrict-study", "1.1"), rules=rules), *ALL) == {"m2"}


@pytest.mark.parametrize(
    ("role", "label", "given"), [("2212", "R", True), ("2221", "R", False), ("2212", "V", False), ("2221", "N", True)]
)
def test_labels_are_for_those_who_may_see_them(role: str, label: str, given: bool) -> None:
    assert bool(seen(deciding(role=role), document("x", labels=(label,)))) is given


def test_a_role_sees_what_the_matrix_gives_it() -> None:
    assert seen(deciding(role="3211"), *ALL) == {"m1", "m2"}


@pytest.mark.parametrize(
    ("allowed", "purpose", "given"), [(True, "BTG", True), (True, "TREAT", False), (False, "BTG", False)]
)
def test_the_very_restricted_is_shown_in_an_emergency_alone_and_where_the_country_says_so(
    allowed: bool, purpose: str, given: bool
) -> None:
    rules = replace(RULES, btg=True, v_btg=allowed, presence=frozenset({"id-document"}))

    assert bool(seen(deciding(purpose=purpose, rules=rules), document("x", labels=("V",)))) is given


def test_a_digest_is_of_all_that_was_said_in_whatever_order() -> None:
    first, second = said("restrict-study", "1.1"), said("restrict-study", "1.2")

    digests = {DirectiveSet(of).digest for of in ((), (first,), (second,), (first, second), (second, first))}

    assert len(digests) == 4
    assert all(len(bytes.fromhex(digest)) == 32 for digest in digests)


def test_what_denies_a_document_is_said_with_it_and_a_permission_for_it_alone_is_stronger() -> None:
    no, other, yes = said("restrict-modality", "CT"), said("restrict-study", "1.2"), said("permit-study", "1.1")

    assert [d.id for d in deciding(no, other).denying(CT)] == [no.id]
    assert deciding(no, other, yes).denying(CT) == ()


def test_a_day_that_cannot_be_read_counts_as_restricted_and_never_as_permitted() -> None:
    undated = manifest("m9", "1.9", started="some day in spring")
    opt_in = replace(RULES, opt_in=True)

    assert seen(deciding(said("restrict-period", "2020-01-01..2020-01-02")), undated) == set()
    assert seen(deciding(said("permit-period", "2020-01-01..2020-01-02"), rules=opt_in), undated) == set()


def test_what_the_country_does_not_offer_is_not_listed() -> None:
    rules = Rules(opt_in=False, presence=RULES.presence, services=frozenset({"imaging-report"}))

    assert seen(deciding(rules=rules), *ALL) == {"r1", "r3"}


@pytest.mark.parametrize(("role", "purpose"), [("4110", "TREAT"), ("2262", "TREAT"), ("", "TREAT"), ("2212", "BTG")])
def test_other_roles_and_purposes_are_refused(role: str, purpose: str) -> None:
    with pytest.raises(InsufficientRights):
        deciding(role=role, purpose=purpose)


@pytest.mark.parametrize("presence", ["unable", "ehic"])
def test_other_ways_of_recognising_the_patient_are_refused(presence: str) -> None:
    with pytest.raises(InvalidAssertion):
        deciding(presence=presence)


def test_the_version_changes_with_what_was_said() -> None:
    assert deciding().version != deciding(said("restrict-study", "1.9")).version
    assert deciding().version == deciding().version


@pytest.mark.parametrize(
    ("kind", "scope"),
    [
        ("opt-out", ""), ("permit", ""), ("restrict-imaging", ""), ("restrict-study", "1.2.3"), ("restrict-report", "urn:uuid:7"),
        ("restrict-period", "2024-01-01..2024-02-01"), ("restrict-modality", "CT"), ("restrict-region", "774007"),
        ("restrict-country", "BB"), ("restrict-organisation", "urn:oid:2.999.9"), ("restrict-label", "PSY"),
        ("restrict-label", "R"), ("restrict-person", "BB/doctor-7"), ("restrict-role", "2221"), ("restrict-purpose", "BTG"),
        *((f"permit-{subject}", EXAMPLES[subject]) for subject in PERMITTED),
    ],
)  # fmt: skip
def test_a_directive_is_written_as_consent_and_read_back(kind: str, scope: str) -> None:
    directive = said(kind, scope, until=NOW)

    assert read_record(write_record(directive)) == directive


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", write_record(said("opt-out")).replace(b'"status"', b'"statu"'),
     write_record(said("opt-out")).replace(b'{"category"', b'{"also":1,"category"')],
)  # fmt: skip
@pytest.mark.threat("T36")
def test_a_consent_that_cannot_be_followed_whole_closes(body: bytes) -> None:
    with pytest.raises(NationalInfrastructureUnavailable):
        read_record(body)


@pytest.mark.parametrize(
    ("kind", "scope"),
    [("restrict-study", "x"), ("restrict-study", ""), ("opt-out", "x"), ("restrict-period", "2024-02-01..2024-01-01"),
     ("restrict-country", "bb"), ("restrict-mood", "x"), ("restrict-role", "doctor"), ("restrict-person", "doctor-7"),
     ("restrict-purpose", "PATRQT"), ("permit-report", "r"), ("permit-study", ""), ("restrict-label", "psy")],
)  # fmt: skip
def test_a_scope_that_says_nothing_is_refused(kind: str, scope: str) -> None:
    with pytest.raises(MalformedRequest):
        checked_scope(kind, scope)


def test_a_permission_counts_only_where_every_number_of_a_person_has_one() -> None:
    one, other = said("permit"), said("restrict-modality", "CT")
    both = joined([DirectiveSet((one,)), DirectiveSet((other,))], NOW)
    agreed = joined([DirectiveSet((one,)), DirectiveSet((said("permit"), other))], NOW)

    assert [d.kind for d in both.directives] == ["restrict-modality"]
    assert sorted(d.kind for d in agreed.directives) == ["permit", "permit", "restrict-modality"]
    assert joined([DirectiveSet((one,))], NOW).directives == (one,)
    assert joined([DirectiveSet((one,))], NOW, [DirectiveSet((said("permit"), other))]).directives == (one, other)
