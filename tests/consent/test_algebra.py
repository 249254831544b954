"""What holds whatever a patient says: more denials never show more, exceptions reach no further than they say, doubt closes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.consent.test_decision import ALL, BOTH, CT, EXAMPLES, REPORT, RULES, deciding, document, manifest, said, seen

from isthmus.consent.decision import Decision
from isthmus.consent.records import PERMITTED, SUBJECTS, Directive
from isthmus.consent.rules import Rules
from isthmus.errors import InsufficientRights
from isthmus.model.documents import Document

OTHERS = {"study": "1.2", "modality": "MR", "country": "CC", "person": "BB/doctor-8", "role": "2221", "period": "2020-01-01..2020-12-31"}  # fmt: skip
KINDS = [
    "restrict-imaging",
    "permit",
    *(f"restrict-{one}" for one in SUBJECTS),
    *(f"permit-{one}" for one in PERMITTED),
]
EMERGENCY = replace(RULES, btg=True)
WITH_KEY_IMAGES = (*ALL, replace(manifest("m3", "1.3"), refers_to=("1.2",)), document("r5", "1.3"), document("r6"))


@st.composite
def directives(draw: st.DrawFn, kinds: list[str] = KINDS) -> Directive:
    kind = draw(st.sampled_from(kinds))
    subject = kind.partition("-")[2]
    scopes = [scopes_of[subject] for scopes_of in (EXAMPLES, OTHERS) if subject in scopes_of]
    return said(kind, draw(st.sampled_from(scopes)) if scopes else "")


DENIES = directives([kind for kind in KINDS if kind.startswith("restrict")])
PERMITS = directives([kind for kind in KINDS if kind.startswith("permit")])
SETS = st.lists(directives(), max_size=5)
LAWS = st.builds(replace, st.just(EMERGENCY), opt_in=st.booleans(), optout_btg=st.booleans(), v_btg=st.booleans())
PURPOSES = st.sampled_from(["TREAT", "ETREAT", "BTG"])
FEW = settings(max_examples=150, deadline=None)


@FEW
@given(SETS, DENIES, LAWS, PURPOSES)
def test_another_restriction_never_shows_more(
    spoken: list[Directive], more: Directive, rules: Rules, purpose: str
) -> None:
    if more.kind == "restrict-purpose":  # it takes an emergency's reach away, and is about nothing else then
        purpose = "TREAT"
    before, after = (deciding(*said_, rules=rules, purpose=purpose) for said_ in (spoken, [*spoken, more]))

    assert seen(after, *WITH_KEY_IMAGES) <= seen(before, *WITH_KEY_IMAGES)


@FEW
@given(SETS, PERMITS, LAWS, PURPOSES)
def test_another_permission_never_hides_anything(
    spoken: list[Directive], more: Directive, rules: Rules, purpose: str
) -> None:
    before, after = (deciding(*said_, rules=rules, purpose=purpose) for said_ in (spoken, [*spoken, more]))

    assert seen(before, *WITH_KEY_IMAGES) <= seen(after, *WITH_KEY_IMAGES)


@FEW
@given(SETS, LAWS)
def test_an_opt_out_leaves_nothing_whatever_else_is_said(spoken: list[Directive], rules: Rules) -> None:
    assert seen(deciding(*spoken, said("opt-out"), rules=rules), *WITH_KEY_IMAGES) == set()


@FEW
@given(SETS, LAWS)
def test_an_emergency_shows_no_less_than_treatment(spoken: list[Directive], rules: Rules) -> None:
    spoken = [d for d in spoken if not (d.permits and d.subject == "purpose")]
    ordinary, emergency = (deciding(*spoken, rules=rules, purpose=purpose) for purpose in ("TREAT", "BTG"))

    assert seen(ordinary, *WITH_KEY_IMAGES) <= seen(emergency, *WITH_KEY_IMAGES)


@FEW
@given(SETS, LAWS, PURPOSES, st.permutations(WITH_KEY_IMAGES), st.randoms())
def test_the_order_of_what_is_said_and_kept_changes_nothing(
    spoken: list[Directive], rules: Rules, purpose: str, kept: list[Document], random: object
) -> None:
    one = deciding(*spoken, rules=rules, purpose=purpose)
    other = deciding(*reversed(spoken), rules=rules, purpose=purpose)

    assert seen(one, *WITH_KEY_IMAGES) == seen(other, *kept)


@FEW
@given(SETS, LAWS, PURPOSES)
def test_what_is_seen_names_nothing_that_is_not(spoken: list[Directive], rules: Rules, purpose: str) -> None:
    """No report without every study it names, no study whose key images refer to a hidden one."""
    decision = deciding(*spoken, rules=rules, purpose=purpose)
    visible = decision.visible(WITH_KEY_IMAGES)
    studies = {uid for d in visible if d.kind.is_manifest for uid in d.study_instance_uids}

    assert all(studies.issuperset(d.study_instance_uids) for d in visible)
    assert all(studies.issuperset(d.refers_to) for d in visible)


@pytest.mark.parametrize(
    ("exception", "shown"),
    [
        ("permit-country", True), ("permit-person", True), ("permit-organisation", True), ("permit-role", True),
        ("permit-study", True), ("permit-modality", True), ("permit", False),
    ],
)  # fmt: skip
def test_an_exception_shows_again_what_something_wider_restricts(exception: str, shown: bool) -> None:
    subject = exception.partition("-")[2]
    decision = deciding(said("restrict-imaging"), said(exception, EXAMPLES.get(subject, "")))

    assert (CT.id in seen(decision, *ALL)) is shown


@pytest.mark.parametrize(
    ("restriction", "exception"),
    [
        ("restrict-study", "permit-study"), ("restrict-person", "permit-study"), ("restrict-study", "permit-person"),
        ("restrict-person", "permit-country"), ("restrict-modality", "permit-region"), ("restrict-role", "permit-person"),
        ("restrict-label", "permit-modality"),
    ],
)  # fmt: skip
def test_of_two_that_are_equal_or_beside_each_other_the_denying_wins(restriction: str, exception: str) -> None:
    spoken = [said(kind, EXAMPLES[kind.partition("-")[2]]) for kind in (restriction, exception)]
    labelled = replace(CT, sensitivity=("PSY",))

    assert CT.id not in seen(deciding(*spoken), labelled, REPORT)


def test_a_document_that_does_not_say_its_modality_is_not_what_was_permitted() -> None:
    unsaid = replace(REPORT, modalities=())

    assert seen(deciding(said("restrict-imaging"), said("permit-modality", "CT")), unsaid) == set()


def test_under_opt_in_a_permission_for_one_study_shows_this_study_alone() -> None:
    rules = replace(RULES, opt_in=True)

    assert seen(deciding(said("permit-study", "1.1"), rules=rules), *ALL) == {"m1", "r1"}


def test_a_study_whose_key_images_refer_to_a_restricted_one_is_hidden_with_its_reports() -> None:
    assert seen(deciding(said("restrict-study", "1.2")), *WITH_KEY_IMAGES) == {CT.id, REPORT.id, "r6"}
    assert {"m3", "r5", BOTH.id} <= seen(deciding(), *WITH_KEY_IMAGES)


def test_hidden_is_also_what_refers_to_it_by_several_steps() -> None:
    chain = [replace(manifest(f"m{n}", f"1.{n}"), refers_to=(f"1.{n - 1}",)) for n in range(3, 7)]

    assert seen(deciding(said("restrict-study", "1.2")), *chain, manifest("m9", "1.9")) == {"m9"}


# emergency access


def in_emergency(*spoken: Directive, role: str = "2212", presence: str = "unable", **law: object) -> Decision:
    rules = replace(EMERGENCY, **law)  # type: ignore[arg-type]  # by name
    return deciding(*spoken, rules=rules, purpose="BTG", role=role, presence=presence)


def test_emergency_access_lifts_what_was_restricted_and_owes_a_notice_and_a_review() -> None:
    decision = in_emergency(said("restrict-study", "1.1"), said("restrict-modality", "MR"))

    assert seen(decision, *ALL) == {"m1", "m2", "r1", "r3"}
    assert decision.obligations == {"notify", "review"}
    assert deciding().obligations == frozenset()


@pytest.mark.threat("T45")
def test_what_the_law_calls_absolute_is_not_lifted() -> None:
    assert seen(in_emergency(said("restrict-study", "1.1"), absolute=frozenset({"study"})), *ALL) == {"m2"}


@pytest.mark.threat("T45")
@pytest.mark.parametrize("optout_btg", [False, True])
def test_an_opt_out_is_lifted_only_where_the_country_says_so(optout_btg: bool) -> None:
    assert bool(seen(in_emergency(said("opt-out"), optout_btg=optout_btg), *ALL)) is optout_btg
    assert bool(seen(in_emergency(opt_in=True, optout_btg=optout_btg), *ALL)) is optout_btg


@pytest.mark.threat("T45")
@pytest.mark.parametrize("v_btg", [False, True])
def test_what_is_very_restricted_shows_only_where_the_country_says_so(v_btg: bool) -> None:
    assert bool(seen(in_emergency(v_btg=v_btg), replace(REPORT, sensitivity=("V",)))) is v_btg


def test_a_patient_may_forbid_that_an_emergency_shows_more_than_treatment() -> None:
    spoken = said("restrict-purpose", "BTG"), said("restrict-study", "1.1")

    assert seen(in_emergency(*spoken), *ALL) == seen(deciding(*spoken), *ALL) == {"m2"}
    assert seen(in_emergency(said("restrict-purpose", "BTG"), said("opt-out"), optout_btg=True), *ALL) == set()


@pytest.mark.threat("T44")
@pytest.mark.parametrize("role", ["2221", "2222", "3211", "4110"])
def test_emergency_access_is_for_physicians(role: str) -> None:
    with pytest.raises(InsufficientRights):
        in_emergency(role=role)


def test_a_country_without_emergency_access_answers_none() -> None:
    with pytest.raises(InsufficientRights):
        deciding(purpose="BTG")


def test_in_emergency_treatment_restrictions_hold_and_restricted_labels_stay_closed() -> None:
    decision = deciding(said("restrict-study", "1.1"), purpose="ETREAT", presence="unable")

    assert seen(decision, *ALL) == {"m2"}
    assert seen(decision, replace(document("x"), sensitivity=("R",))) == set()
