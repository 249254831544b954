"""From a finding to its picture and back; what cannot be seen here leaves no trace."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from tests.country_b.portal.fakes import Browser, FakePortal, Page, participant

from isthmus.country_b.visit import Visit
from isthmus.demo.people import PEOPLE
from isthmus.demo.reports import reports
from isthmus.errors import ArrivalRefused, CountryUnreachable, IsthmusError
from isthmus.model.codes import Code
from isthmus.model.documents import Document
from isthmus.model.imaging import Instance, Manifest, Study
from isthmus.model.report.devices import Device
from isthmus.model.report.key_images import KeyImage
from isthmus.model.report.safety import Medication, Pregnancy, Reaction
from isthmus.model.report.statements import Finding, Quantity, ReferenceRange, Statement
from isthmus.testing.studies import SyntheticStudy
from isthmus.wire.packs.pack import load_pack
from isthmus.wire.report.document import read_report, write_report

pytestmark = pytest.mark.anyio
ELENI, REPORT = PEOPLE["eleni"], "ct-eleni"
FIRST, SECOND = "No mass effect.", "Ventricles of normal width."
LINK = re.compile(r'<a class="imglink" id="(finding-[\d-]+|impression-[\d-]+)" href="([^"]+)" data-sop="([\d.]+)"')


def _study(portal: FakePortal) -> SyntheticStudy:
    """The study that the report is about: one series of three images, numbered 1 to 3."""
    uid = reports()[REPORT].study_instance_uids[0]
    return portal.country.with_study(ELENI, uid=uid)


def _say(portal: FakePortal, *images: KeyImage) -> None:
    """The report of the demo, without key images; its first finding is seen nowhere, its second in these images."""
    document = portal.country.with_report(REPORT)
    report = read_report(portal.country.bodies[document.id], load_pack())
    findings = (Finding(FIRST), Finding(SECOND, images=images))
    told = replace(report, key_images=(), examination=replace(report.examination, findings=findings))
    portal.country.bodies[document.id] = write_report(told, load_pack())


def _redescribe(portal: FakePortal, study: Study) -> None:
    (name,) = portal.country.manifests
    portal.country.manifests[name] = replace(portal.country.manifests[name], study=study)


async def _open(portal: FakePortal, login: str = "radiologist", language: str = "en-GB") -> tuple[Browser, str, Page]:
    browser = portal.browser(language)
    await browser.sign_in(login)
    await browser.find(ELENI)
    listed = await browser.confirm()
    address = listed.path.replace("examinations", f"reports/{REPORT}")
    return browser, address, await browser.get(address)


@pytest.mark.requirement("REP-16")
async def test_a_finding_leads_to_its_pictures_and_each_link_is_a_place_to_come_back_to(portal: FakePortal) -> None:
    study = _study(portal)
    _say(portal, KeyImage(study.sop_instance_uid(1)), KeyImage(study.sop_instance_uid(2), frame=4))

    _, _, page = await _open(portal)

    links = [(name, href.rpartition("view?")[2], sop) for name, href, sop in LINK.findall(page.text)]
    assert links == [
        ("finding-2", f"report={REPORT}&amp;image={study.sop_instance_uid(1)}", study.sop_instance_uid(1)),
        (
            "finding-2-2",
            f"report={REPORT}&amp;image={study.sop_instance_uid(2)}&amp;frame=4",
            study.sop_instance_uid(2),
        ),
    ]
    assert "Image 2, series 1</a>" in page.text
    assert "Image 3, series 1, frame 4</a>" in page.text
    assert 'data-frame="4"' in page.text


async def test_the_viewer_opens_at_the_frame_and_says_which_finding_it_is_and_where_it_stands(
    portal: FakePortal,
) -> None:
    study = _study(portal)
    sop = study.sop_instance_uid(2)
    _say(portal, KeyImage(sop, frame=4))
    browser, address, page = await _open(portal)

    viewer = await browser.get(LINK.findall(page.text)[0][1].replace("&amp;", "&"))
    described = re.findall(r'data-study="([^"]+)"', viewer.text)[0]
    told = json.loads((await browser.get(described.replace("&amp;", "&"))).body)

    assert f'data-start-sop="{sop}" data-start-frame="4"' in viewer.text
    assert f'rel="up" href="{address}"' in viewer.text
    assert f'href="{address}#finding-2">In the report</a>' in viewer.text
    assert SECOND in viewer.text
    assert [(k["instance"], k["frame"], k["why"]) for k in told["key_images"]] == [(sop, 4, SECOND)]


async def test_a_picture_that_is_chosen_twice_says_both_reasons(portal: FakePortal) -> None:
    study = _study(portal)
    sop = study.sop_instance_uid(0)
    _say(portal, KeyImage(sop))
    report = read_report(portal.country.bodies[REPORT], load_pack())
    told = replace(report, key_images=(KeyImage(sop, comment="Level of the basal ganglia"),))
    portal.country.bodies[REPORT] = write_report(told, load_pack())
    browser, address, _ = await _open(portal)
    visit = address.partition("/reports/")[0]

    described = await browser.get(f"{visit}/studies/{report.study_instance_uids[0]}/study.json?report={REPORT}")

    assert [k["why"] for k in json.loads(described.body)["key_images"]] == [f"Level of the basal ganglia; {SECOND}"]


async def test_an_impression_says_where_it_is_seen_too(portal: FakePortal) -> None:
    study = _study(portal)
    _say(portal)
    report = read_report(portal.country.bodies[REPORT], load_pack())
    done = replace(report.examination, impressions=(Finding("Normal.", images=(KeyImage(study.sop_instance_uid(0)),)),))
    portal.country.bodies[REPORT] = write_report(replace(report, examination=done), load_pack())

    _, _, page = await _open(portal)

    assert [name for name, _, _ in LINK.findall(page.text)] == ["impression-1"]


@pytest.mark.parametrize("language", ["en-GB", "el"])
async def test_words_are_the_reader_s(portal: FakePortal, language: str) -> None:
    study = _study(portal)
    _say(portal, KeyImage(study.sop_instance_uid(1)))

    _, _, page = await _open(portal, language=language)

    told = (
        ("Findings with an image", "Image 2, series 1")
        if language == "en-GB"
        else ("Ευρήματα με εικόνα", "Εικόνα 2, σειρά 1")
    )
    assert all(words in page.text for words in told)


async def test_an_image_that_the_study_does_not_show_here_leaves_no_trace(portal: FakePortal) -> None:
    _study(portal)
    _say(portal, KeyImage("2.25.404"), KeyImage("2.25.405", frame=2))

    browser, address, page = await _open(portal)
    uid = reports()[REPORT].study_instance_uids[0]
    view = f"{address.partition('/reports/')[0]}/studies/{uid}"
    others = [await browser.get(f"{view}/{name}?report={REPORT}") for name in ("view", "study.json")]
    _say(portal)
    portal.desk.recent._held.clear()
    without = await browser.get(address)

    assert all("2.25.40" not in shown.text for shown in (page, *others))
    assert "Its image is not here." not in page.text
    assert _main(page) == _main(without)


async def test_an_object_that_is_no_image_is_no_picture(portal: FakePortal) -> None:
    study = _study(portal)
    marked = portal.country.with_selection(study, (study.sop_instance_uid(0), ""))
    _say(portal, KeyImage(marked))

    _, _, page = await _open(portal)

    assert LINK.findall(page.text) == []


async def test_a_frame_that_the_instance_does_not_have_is_the_instance(portal: FakePortal) -> None:
    study = _study(portal)
    sop = study.sop_instance_uid(0)
    (manifest,) = portal.country.manifests.values()
    series = manifest.study.series[0]
    one = Instance(sop, series.instances[0].sop_class_uid, 1, number_of_frames=10)
    _redescribe(portal, replace(manifest.study, series=(replace(series, instances=(one,)),)))
    _say(portal, KeyImage(sop, frame=11), KeyImage(sop, frame=10))

    _, _, page = await _open(portal)

    assert [href.rpartition("image=")[2] for _, href, _ in LINK.findall(page.text)] == [sop, f"{sop}&amp;frame=10"]


async def test_who_may_not_see_images_is_shown_none_and_nothing_is_asked(portal: FakePortal) -> None:
    study = _study(portal)
    _say(portal, KeyImage(study.sop_instance_uid(0)))

    _, _, page = await _open(portal, "nurse")

    assert page.status == 200
    assert LINK.findall(page.text) == []
    assert "manifest" not in portal.country.asked


async def test_a_country_that_keeps_its_images_at_home_is_not_asked_for_them(portal: FakePortal) -> None:
    study = _study(portal)
    _say(portal, KeyImage(study.sop_instance_uid(0)))
    portal.directory.participants = [participant(services=frozenset({"imaging-report", "imaging-manifest"}))]

    _, _, page = await _open(portal)

    assert LINK.findall(page.text) == []
    assert "manifest" not in portal.country.asked


async def test_a_report_that_names_no_images_asks_for_no_manifest(portal: FakePortal) -> None:
    _study(portal)
    _say(portal)

    await _open(portal)

    assert "manifest" not in portal.country.asked


def _main(page: Page) -> str:
    """What the page says, without the numbers that are new in each answer."""
    return re.sub("[0-9a-f]{128}", "", page.text.partition("<main")[2])


def _fails(portal: FakePortal, error: IsthmusError) -> None:
    """The next manifest is not had."""
    asked = portal.desk.verbs.get_manifest
    portal.desk.recent._held.clear()

    async def get_manifest(visit: Visit, country: str, document: Document) -> tuple[Manifest, bytes]:
        portal.desk.verbs = replace(portal.desk.verbs, get_manifest=asked)
        raise error

    portal.desk.verbs = replace(portal.desk.verbs, get_manifest=get_manifest)


async def test_a_study_that_cannot_be_described_now_leaves_the_report_open(portal: FakePortal) -> None:
    study = _study(portal)
    _say(portal, KeyImage(study.sop_instance_uid(0)))
    _fails(portal, CountryUnreachable("down", country="AA"))

    browser, address, page = await _open(portal)
    again = await browser.get(address)

    assert (page.status, LINK.findall(page.text)) == (200, [])
    assert len(LINK.findall(again.text)) == 1


async def test_a_manifest_about_another_person_stops(portal: FakePortal) -> None:
    study = _study(portal)
    _say(portal, KeyImage(study.sop_instance_uid(0)))
    _fails(portal, ArrivalRefused("another", reason="wrong-patient", country="AA"))

    _, _, page = await _open(portal)

    assert page.status == 502
    assert "Stopped: this may be another person" in page.text


async def test_a_report_says_before_another_scan_what_could_harm_and_what_was_measured_with_its_picture(
    portal: FakePortal,
) -> None:
    study = _study(portal)
    image = KeyImage(study.sop_instance_uid(1), frame=None)
    document = portal.country.with_report(REPORT)
    report = read_report(portal.country.bodies[document.id], load_pack())
    told = replace(
        report,
        order=replace(
            report.order,
            implants=(Device("Pacemaker", note="not MR safe"),),
            pregnancy=Pregnancy(Statement("Not pregnant")),
            allergies=(Reaction("", Statement("Penicillin"), severity="mild"),),
        ),
        examination=replace(
            report.examination,
            medications=(Medication("Iohexol", dose=Quantity(80, "mL", "mL")),),
            reactions=(Reaction("Hives", Statement("Iohexol"), severity="severe"),),
            findings=(
                Finding("", name="Ventricle", value=Quantity(11, "mm", "mm")),
                Finding(
                    "",
                    images=(image,),
                    name="Nodule",
                    value=Quantity(12.5, "mm", "mm"),
                    reference=ReferenceRange(high=Quantity(6, "mm", "mm")),
                    interpretations=(Code("x", "H", "High"),),
                ),
            ),
        ),
    )
    portal.country.bodies[document.id] = write_report(told, load_pack())

    _, _, page = await _open(portal)

    box = page.text.partition("Before you order another scan")[2].partition("</section>")[0]
    for said in ("Pacemaker", "not MR safe", "Not pregnant", "Penicillin", "80 mL", "Hives", "severe"):
        assert said in box
    table = page.text.partition('id="mea"')[2].partition("</table>")[0]
    assert table.index("12.5 mm") < table.index("11 mm"), "abnormal first"
    assert "≤ 6 mm" in table
    assert "High" in table
    assert study.sop_instance_uid(1) in table
