"""What a FHIR repository tells of a report: a DocumentReference, or what is read as if it were one.

Read as the border's own entries are, by the same reader. What a document is its bytes say, later; here only what can be none drops out:
other types, manifests of images, what was entered in error.

Source: R4 DocumentReference; wire.md §1.4.3, §1.4.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from hashlib import sha256

import orjson

from isthmus.errors import IsthmusError
from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node
from isthmus.fhir.labels import labels_of
from isthmus.model.documents import Document, DocumentKind
from isthmus.model.identifiers import PatientIdentifier
from isthmus.national.fhir.client import Client
from isthmus.national.fhir.entries import COMPOSITION, MADE, REFERENCE, REPORT, as_entry
from isthmus.wire.entries import read_entry
from isthmus.wire.packs.pack import Pack

FORMS = {
    "application/fhir+json": DocumentKind.REPORT_FHIR,
    "application/json": DocumentKind.REPORT_FHIR,
    "text/xml": DocumentKind.REPORT_CDA,
    "application/xml": DocumentKind.REPORT_CDA,
    "application/hl7-cda+xml": DocumentKind.REPORT_CDA,
    "application/pdf": DocumentKind.REPORT_PDF,
}
_PREFERRED = tuple(
    dict.fromkeys(FORMS.values())
)  # of several forms of one document: a structured one, then CDA, then PDF


@dataclass(frozen=True, slots=True)
class Content:
    """One form of a document: where its bytes are, or the bytes."""

    media_type: str
    url: str | None
    data: bytes | None = field(repr=False)
    size_bytes: int | None = None

    @property
    def made(self) -> bool:
        """Whether the repository makes it when it is asked for."""
        return self.url is not None and self.url.endswith(MADE)


@dataclass(frozen=True, slots=True)
class Told:
    """One report as the repository tells it now."""

    reference: str  # `DocumentReference/…`, as the repository names it
    version: str  # the same while it tells the same
    document: Document  # without id and patient
    contents: tuple[Content, ...]  # the best form first
    studies: tuple[str, ...] = ()  # ids of ImagingStudy resources that it names instead of a UID
    replaces: tuple[str, ...] = ()
    covers: tuple[str, ...] = ()  # DiagnosticReports and Compositions of which this is the document

    def __repr__(self) -> str:
        return f"Told({self.reference})"


class Teller:
    """Reads entries of one repository."""

    def __init__(self, client: Client, pack: Pack) -> None:
        self._client, self._pack = client, pack

    def read(self, node: Node) -> Told | None:
        """What a resource tells of a report; None when it is about something else, or does not count any more."""
        entry = as_entry(node, self._client.source.report_types)
        errors = {"entered-in-error"}
        if entry is None or entry.get("status") in errors or entry.get("docStatus") in errors:
            return None
        contents = self._contents(entry)
        document = self._document(entry) if contents else None
        if document is None:
            return None
        related = [el.text(one, "reference") for one in el.children(el.child(entry, "context"), "related")]
        made = [content.url.removesuffix(MADE) for content in contents if content.url and content.url.endswith(MADE)]
        return Told(
            reference=f"{node['resourceType']}/{node['id']}",
            version=_version(node),
            document=document,
            contents=contents,
            studies=tuple(id_ for _, id_ in self._own(related, "ImagingStudy")),
            replaces=tuple(self._replaced(entry)),
            covers=tuple(f"{kind}/{id_}" for kind, id_ in self._own([*related, *made], REPORT, COMPOSITION)),
        )

    def is_about(self, node: Node, ids: Iterable[str], identifiers: Iterable[PatientIdentifier]) -> bool:
        """Whether a resource is about this person: by a reference to a record of theirs, or by an identifier alone."""
        subject = el.child(node, "subject")
        reference, own = el.text(subject, "reference"), el.child(subject, "identifier")
        system, value = el.text(own, "system"), el.text(own, "value")
        mine = {(one.system, one.value) for one in identifiers}
        named = (system, value) in mine
        if (system, value) != (None, None) and not named and system in {one[0] for one in mine}:
            return False
        if reference is not None:
            return self._client.own_reference(reference, "Patient") in set(ids)
        return named

    def _document(self, entry: Node) -> Document | None:
        """The entry by the border's reader, as if what it points to were a PDF of ours."""
        attachment = el.child(entry, "content", "attachment")
        form = {"url": f"{self._client.base}/Binary/0", "contentType": "application/pdf"}
        kept = {name: attachment[name] for name in ("title", "language", "creation") if name in attachment}
        plain = entry | {"content": [{"attachment": kept | form}], "relatesTo": []}
        try:
            found, _ = read_entry(plain, "", base=self._client.base, pack=self._pack)
        except IsthmusError:
            return None
        status = "superseded" if entry.get("status") == "superseded" else "current"
        title = found[0].title or next(_words(entry, "type"), "") or "Imaging report"
        return replace(
            found[0],
            title=title,
            status=status,
            report_status=found[0].report_status or el.text(entry, "docStatus"),
            replaces=None,
            url=None,
            sensitivity=tuple(dict.fromkeys(labels_of(entry))),
        )

    def _contents(self, entry: Node) -> tuple[Content, ...]:
        """The forms that may be a report; a manifest of images is none. The declared form only says which is tried first."""
        found = []
        for content in el.children(entry, "content"):
            attachment = el.child(content, "attachment")
            media_type = (el.text(attachment, "contentType") or "").partition(";")[0].strip().lower()
            form = el.text(content, "format", "code") or ""
            url, data = el.text(attachment, "url"), el.binary(attachment, "data")
            if media_type not in (*FORMS, "") or form == self._pack.codes["format_manifest_fhir"]:
                continue
            if url is not None or data is not None:
                found.append(Content(media_type, url, data, el.number(attachment, "size")))
        return tuple(sorted(found, key=_rank))

    def _replaced(self, entry: Node) -> Iterator[str]:
        for relation in el.children(entry, "relatesTo"):
            if relation.get("code") == "replaces":
                target = el.text(relation, "target", "reference")
                yield from (f"{kind}/{id_}" for kind, id_ in self._own([target], REFERENCE, COMPOSITION))

    def _own(self, references: Iterable[str | None], *kinds: str) -> Iterator[tuple[str, str]]:
        """Those of the references that are to resources of these kinds in this repository."""
        for reference in references:
            for kind in kinds:
                id_ = self._client.own_reference(reference, kind)
                if id_ is not None:
                    yield kind, id_


def _rank(content: Content) -> int:
    kind = FORMS.get(content.media_type)
    return _PREFERRED.index(kind) if kind is not None else len(_PREFERRED)


def _words(node: Node, name: str) -> Iterator[str]:
    said = el.child(node, name)
    yield from filter(None, (el.text(said, "text"), *(el.text(one, "display") for one in el.children(said, "coding"))))


def _version(node: Node) -> str:
    """The number the repository gives, and a fingerprint: not every repository raises the one when the other changes."""
    told = {name: value for name, value in node.items() if name not in ("meta", "text")}
    digest = sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS)).hexdigest()[:20]
    return f"{el.text(node, 'meta', 'versionId') or ''}.{digest}"
