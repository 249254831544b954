"""`isthmus convert`: a manifest into its other encoding, a report into the European document. Needs no node and no network.

Source: interfaces.md §2.
"""

from __future__ import annotations

import os
import secrets
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
from isthmus.model.imaging import Manifest
from isthmus.wire.kos import write_kos, write_plain_kos
from isthmus.wire.kos_reading import read_kos
from isthmus.wire.manifests import ManifestRead, read_manifest, write_manifest
from isthmus.wire.packs.pack import Pack, load_pack
from isthmus.wire.report.document import read_report, write_report

MAX_BYTES = 64 * 1024 * 1024
NEITHER = "this file is neither a manifest nor a report"

app = typer.Typer()


class Form(StrEnum):
    """What can be made."""

    MANIFEST_FHIR = "manifest-fhir"
    MANIFEST_KOS = "manifest-kos"
    REPORT_FHIR = "report-fhir"


class Kind(StrEnum):
    """What a file is, by what it holds and never by its name."""

    BUNDLE_MANIFEST = "a FHIR manifest"
    BUNDLE_REPORT = "a FHIR report"
    DICOM = "a DICOM file"
    PDF = "a PDF"
    CDA = "a CDA document"


@app.command()
def convert(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A manifest (FHIR or DICOM), or a FHIR report.")],
    to: Annotated[Form, typer.Option("--to", help="What to make of it.")],
    out: Annotated[Path, typer.Option("--out", metavar="F", help="The file to write, for its owner alone.")],
    plain: Annotated[
        bool, typer.Option("--plain", help="With manifest-kos: without image library, for readers that refuse one.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make of a manifest its other encoding, or of a FHIR report the European report document.

    Reports from CDA, DICOM SR and PDF are not built yet. Nothing is written when something is wrong.

    \b
    Example:
      isthmus convert manifest.dcm --to manifest-fhir --out manifest.json
      isthmus convert manifest.json --to manifest-kos --out manifest.dcm
    """
    data, pack = _read(file), load_pack()
    kind = _kind(data)
    if to is Form.REPORT_FHIR:
        body, said = _report(data, kind, pack)
    else:
        read = _manifest(data, kind, pack)
        body, said = _written(read.manifest, to, plain=plain, pack=pack), _said(read)
    _write(out, body)
    emit({"file": str(out), "form": to.value, "bytes": len(body)} | said, as_json, _show)


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
    if data[128:132] == b"DICM":
        return Kind.DICOM
    if head.startswith(b"%PDF"):
        return Kind.PDF
    if head.startswith(b"<") and b"ClinicalDocument" in head:
        return Kind.CDA
    if not head.startswith(b"{"):
        raise MalformedRequest(NEITHER)
    bundle = el.read_object(data, MalformedRequest)
    kinds = {el.text(entry, "resource", "resourceType") for entry in el.children(bundle, "entry")}
    if bundle.get("resourceType") == "Bundle" and "DiagnosticReport" in kinds:
        return Kind.BUNDLE_REPORT
    if bundle.get("resourceType") == "Bundle" and {"Composition", "ImagingStudy"} <= kinds:
        return Kind.BUNDLE_MANIFEST
    raise MalformedRequest(NEITHER)


def _report(data: bytes, kind: Kind, pack: Pack) -> tuple[bytes, dict[str, Any]]:
    if kind is Kind.BUNDLE_MANIFEST:
        raise UnsupportedRequest("a manifest cannot become a report", reason="body-media")
    if kind is not Kind.BUNDLE_REPORT:
        raise UnsupportedRequest(f"a report from {kind.value} is not built yet", reason="body-media")
    forgiven: list[str] = []
    try:
        report = read_report(data, pack, forgive=forgiven.append)
    except CountryMisanswered as problem:
        raise _misread(problem) from problem
    return write_report(report, pack), {"study_instance_uids": list(report.study_instance_uids), "forgiven": forgiven}


def _manifest(data: bytes, kind: Kind, pack: Pack) -> ManifestRead:
    if kind is Kind.DICOM:
        return read_kos(data, pack)
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
    counts = f", {said['series']} series, {said['instances']} instances" if "series" in said else ""
    print(f"{said['file']}: {said['form']}, {said['bytes']} bytes{counts}")
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
