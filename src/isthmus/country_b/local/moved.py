"""Manifests for the readers of a visit, who reach the images at the visit's address and not at Country A's.

The one in FHIR is the same but for the address. In the one in DICOM the address stands inside an object: another address is another
object, with a UID of its own, made from what the issued one says; the same manifest for the same address is the same bytes.
A location that is a UID names where the images are kept and stays; an AE title would be called, and goes. `docs/decisions/0011` says why.

Source: trust.md §2.8; PS3.3 §C.17.2.1, §C.12.1; wire.md §1.7, MKO-04, MKO-21.
"""

from __future__ import annotations

import re
from dataclasses import replace

from isthmus.dicom.uids import derived_uid
from isthmus.model.identifiers import is_uid, plain_uid
from isthmus.model.imaging import Manifest
from isthmus.wire.kos import sop_instance_uid, write_kos
from isthmus.wire.packs.pack import Pack


def moved_to(body: bytes, theirs: str, ours: str) -> bytes:
    """The same JSON, where every address below their base stands below ours; everything else stays byte for byte."""
    plain = theirs.rstrip("/")
    for written in (plain, plain.replace("/", "\\/")):
        body = re.sub(rb'"' + re.escape(written.encode()) + rb'(?=["/\\])', lambda _: f'"{ours}'.encode(), body)
    return body


def moved_uid(uid: str, ours: str) -> str:
    """The SOP Instance UID of the manifest of this UID, for the readers of this address."""
    return derived_uid("isthmus:moved-manifest", sop_instance_uid(uid), ours)


def moved_kos(manifest: Manifest, ours: str, pack: Pack) -> bytes:
    """The manifest as DICOM document whose images are retrieved below our base. Raises MalformedRequest for what DICOM cannot say."""
    location = plain_uid(manifest.location_uid)
    moved = replace(
        manifest,
        uid=moved_uid(manifest.uid, ours),
        endpoint_address=ours,
        location_uid=location if is_uid(location) else derived_uid("isthmus:location", ours),
    )
    return write_kos(moved, pack)
