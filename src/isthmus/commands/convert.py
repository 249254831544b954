"""`isthmus convert`: a manifest into its other encoding, a report into the European document, a structured object into text. Needs no node
and no network.

Source: interfaces.md §2.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from isthmus.commands.output import Json, emit
from isthmus.errors import (
    CountryMisanswered,
    IsthmusError,
    MalformedRequest,
    SettingsProblem,
    TooLarge,
    UnsupportedRequest,
)
from isthmus.fhir import elements as el
from isthmus.model.amounts import amount
from isthmus.model.identifiers import PatientIdentifier, checked_uid
from isthmus.model.imaging import Manifest
from isthmus.model.report.document import ImagingReport
from isthmus.originals.beside import Beside
from isthmus.originals.child import Asked, made_report
from isthmus.originals.instances import is_instance
from isthmus.originals.recognise import is_pdf
from isthmus.originals.sr.tree import told_tree, written
from isthmus.sandbox import Sandbox
from isthmus.wire.kos import write_kos, write_plain_kos
from isthmus.wire.kos_reading import read_kos
from isthmus.wire.manifests import ManifestRead, read_manifest, write_manifest
from isthmus.wire.packs.pack import Pack, load_pack
from isthmus.wire.report.document import read_report, write_report
from isthmus.wire.report.minimal import is_minimal, write_minimal

MAX_BYTES = 64 * 1024 * 1024
READ_S = 60.0
NEITHER = "this file is neither a manifest nor a report"

ALONE = {
    "Composition": "is only a part of a report",
    "DiagnosticReport": "is only a part of a report",
    "Binary": "only carries a document",
    "DocumentReference": "only points to a document",
}
"""FHIR resources that are not all of a report, and what they are."""
_DATE = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d))?", re.ASCII)

app = typer.Typer()


class Form(StrEnum):
    """What can be made."""

    MANIFEST_FHIR = "manifest-fhir"
    MANIFEST_KOS = "manifest-kos"
    REPORT_FHIR = "report-fhir"
    TEXT = "text"


class Kind(StrEnum):
    """What a file is, by what it holds and never by its name."""

    BUNDLE_MANIFEST = "a FHIR manifest"
    BUNDLE_REPORT = "a FHIR report"
    DICOM = "a DICOM file"
    PDF = "a PDF"
    CDA = "a CDA document"
    XML = "an XML document"


@app.command()
def convert(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A manifest (FHIR, DICOM) or a report (FHIR, CDA, SR, PDF).")
    ],
    to: Annotated[Form, typer.Option("--to", help="What to make of it.")],
    out: Annotated[Path, typer.Option("--out", metavar="F", help="The file to write, for its owner alone.")],
    plain: Annotated[
        bool, typer.Option("--plain", help="With manifest-kos: without image library, for readers that refuse one.")
    ] = False,
    patient: Annotated[
        str | None, typer.Option("--patient", metavar="SYSTEM|VALUE", help="Whose report it is; a PDF does not say it.")
    ] = None,
    study: Annotated[
        list[str] | None, typer.Option("--study", metavar="UID", help="A study that the report is about; repeatable.")
    ] = None,
    title: Annotated[str | None, typer.Option("--title", help="Its title, where it does not say one.")] = None,
    date: Annotated[
        str | None, typer.Option("--date", help="When it was written: YYYY-MM-DD, or with time and offset.")
    ] = None,
    language: Annotated[str | None, typer.Option("--language", help="Its language, where it does not say one.")] = None,
    as_json: Json = False,
) -> None:
    """Make of a manifest its other encoding, or of a report the European report document.

    A report is a FHIR document, a CDA document, a DICOM structured report, or a PDF, alone or in a DICOM file. What is said here of a
    report must not contradict it. Of any structured DICOM object, a dose report too, all that it says can be had as text. Nothing is written
    when something is wrong.

    \b
    Example:
      isthmus convert manifest.dcm --to manifest-fhir --out manifest.json
      isthmus convert manifest.json --to manifest-kos --out manifest.dcm
      isthmus convert sr.dcm --to report-fhir --out report.json
      isthmus convert dose.dcm --to text --out dose.txt
      isthmus convert letter.pdf --to report-fhir --patient 'urn:oid:2.999.1|4711' --study 2.25.1 --out report.json
    """
    data, pack = _read(file), load_pack()
    kind = _kind(data)
    if to is Form.TEXT:
        body, said = _text(data, kind), dict[str, Any]()
    elif to is Form.REPORT_FHIR:
        body, said = _report(data, kind, pack, _known(patient, study or [], title, date, language))
    else:
        read = _manifest(data, kind, pack)
        body, said = _written(read.manifest, to, plain=plain, pack=pack), _said(read)
    _write(out, body)
    emit({"file": str(out), "form": to.value, "bytes": len(body)} | said, as_json, _show)


def _known(
    patient: str | None, studies: list[str], title: str | None, date: str | None, language: str | None
) -> Beside:
    """What the operator says of a report. Raises MalformedRequest."""
    if date is not None and not _DATE.fullmatch(date):
        raise MalformedRequest("--date is a day, or a time with seconds and offset: 2026-03-02T11:00:00+01:00")
    return Beside(
        number=PatientIdentifier.read(patient) if patient else None,
        studies=tuple(dict.fromkeys(checked_uid(uid, "--study") for uid in studies)),
        title=title,
        created=date,
        language=language,
    )


def _read(file: Path) -> bytes:
    try:
        if file.stat().st_size > MAX_BYTES:
            raise TooLarge("a file of more than 64 MiB is no manifest and no report", limit_bytes=MAX_BYTES)
        return file.read_bytes()
    except OSError as exc:
        raise SettingsProblem(f"{file} cannot be read ({exc.strerror})", reason="usage") from exc


def _kind(data: bytes) -> Kind:
    """Tell what the file holds. Raises MalformedRequest for what is nothing of it."""
    head = data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
    if is_instance(data):
        return Kind.DICOM
    if is_pdf(data):
        return Kind.PDF
    if head.startswith(b"<") or data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return Kind.CDA if b"ClinicalDocument" in head else Kind.XML
    if not head.startswith(b"{"):
        raise MalformedRequest(NEITHER)
    bundle = el.read_object(data, MalformedRequest)
    kinds = {el.text(entry, "resource", "resourceType") for entry in el.children(bundle, "entry")}
    if bundle.get("resourceType") == "Bundle" and "DiagnosticReport" in kinds:
        return Kind.BUNDLE_REPORT
    if bundle.get("resourceType") == "Bundle" and {"Composition", "ImagingStudy"} <= kinds:
        return Kind.BUNDLE_MANIFEST
    resource = str(bundle.get("resourceType"))
    if resource in ALONE:
        raise UnsupportedRequest(f"a FHIR {resource} alone {ALONE[resource]}", reason="body-media")
    raise MalformedRequest(NEITHER)


def _report(data: bytes, kind: Kind, pack: Pack, known: Beside) -> tuple[bytes, dict[str, Any]]:
    if kind is Kind.BUNDLE_MANIFEST:
        raise UnsupportedRequest("a manifest cannot become a report", reason="body-media")
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    forgiven: list[str] = []
    if kind is not Kind.BUNDLE_REPORT:
        body = _made(data, Asked(pack.name, now, known))
        report = read_report(body, pack)
    else:
        try:
            report = read_report(data, pack, forgive=forgiven.append)
        except CountryMisanswered as problem:
            raise _misread(problem) from problem
        _agrees(report, known)
        body = write_minimal(report, pack) if is_minimal(report) else write_report(report, pack, assembled=now)
    return body, {"study_instance_uids": list(report.study_instance_uids), "forgiven": forgiven}


def _made(data: bytes, asked: Asked) -> bytes:
    """What a child makes of a report of others. Raises MalformedRequest."""
    return made_report(_in_a_child("report", data, asked.options))


def _text(data: bytes, kind: Kind) -> bytes:
    """What a structured object says. Raises MalformedRequest, UnsupportedRequest."""
    if kind is not Kind.DICOM:
        raise UnsupportedRequest(f"{kind.value} cannot become text: a structured DICOM object can", reason="body-media")
    return written(told_tree(_in_a_child("tree", data, {}))).encode()


def _in_a_child(task: str, data: bytes, options: Mapping[str, object]) -> bytes:
    sandbox = Sandbox()
    try:
        return sandbox.run_now(task, data, options, deadline_s=READ_S, error=MalformedRequest)
    except MalformedRequest as problem:
        raise MalformedRequest(f"this file cannot be read ({problem.facts.get('fault')})") from problem
    finally:
        sandbox.close()


def _agrees(report: ImagingReport, known: Beside) -> None:
    """Raises MalformedRequest when a report says something else of itself than the operator does."""
    if known.number not in (None, report.header.patient.identifier, *report.header.patient.others):
        raise MalformedRequest("the document names another patient", path="--patient")
    if not set(known.studies) <= set(report.study_instance_uids):
        raise MalformedRequest("the document is about other studies", path="--study")


def _manifest(data: bytes, kind: Kind, pack: Pack) -> ManifestRead:
    if kind is Kind.DICOM:
        return read_kos(data, pack)
    if kind is Kind.XML:
        raise MalformedRequest(NEITHER)
    if kind is not Kind.BUNDLE_MANIFEST:
        raise UnsupportedRequest(f"{kind.value} cannot become a manifest", reason="body-media")
    try:
        return read_manifest(data, pack)
    except CountryMisanswered as problem:
        raise _misread(problem) from problem


def _misread(problem: IsthmusError) -> MalformedRequest:
    """What a reader finds wrong with another country is here wrong with a file."""
    path = problem.facts.get("path")
    return MalformedRequest(f"{problem.message} ({path})" if path else problem.message)


def _written(manifest: Manifest, form: Form, *, plain: bool, pack: Pack) -> bytes:
    """Raises MalformedRequest when the other encoding asks for what this one did not say."""
    if form is Form.MANIFEST_KOS:
        return write_plain_kos(manifest, pack) if plain else write_kos(manifest, pack)
    patient = manifest.study.patient
    missing = [
        name
        for name, there in (
            ("the patient's name", patient.name.family or patient.name.given),
            ("the patient's birth date", patient.birth_date),
            ("where the images are", manifest.location_uid),
        )
        if not there
    ]
    if missing:
        raise MalformedRequest(f"the manifest does not say {' nor '.join(missing)}, which a FHIR manifest must")
    return write_manifest(manifest, pack)


def _said(read: ManifestRead) -> dict[str, Any]:
    study = read.manifest.study
    return {
        "study_instance_uid": study.study_instance_uid,
        "series": len(study.series),
        "instances": study.instance_count,
        "forgiven": list(read.tolerances),
    }


def _show(said: dict[str, Any]) -> None:
    counts = f", {said['series']} series, {amount(said['instances'], 'instance')}" if "series" in said else ""
    print(f"{said['file']}: {said['form']}, {amount(said['bytes'], 'byte')}{counts}")
    if said.get("forgiven"):
        print(f"forgiven: {', '.join(said['forgiven'])}")


def _write(out: Path, body: bytes) -> None:
    """Write the whole file or none, for its owner alone."""
    part = out.with_name(f".part-{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(body)
        part.replace(out)
    except OSError as exc:
        part.unlink(missing_ok=True)
        raise SettingsProblem(f"{out} cannot be written ({exc.strerror})", reason="usage") from exc
