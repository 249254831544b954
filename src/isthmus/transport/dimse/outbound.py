"""Associations with a PACS: C-ECHO, C-FIND, C-GET, C-MOVE. Everything here waits; callers have a thread for it.

What a peer answers is bounded in number and size; an answer that stops short is an error, never a shorter list. "Success" is a claim:
the counters come along, and what really arrived is the receiver's to count.

Source: PS3.4 §C.4; PS3.7 §9.1; field-faults F47.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Final

from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context, build_role

from isthmus.errors import NationalInfrastructureUnavailable
from isthmus.transport.dimse.arrivals import Receiver
from isthmus.transport.dimse.contexts import (
    ROOTS,
    STUDY_ROOT,
    VERIFICATION,
    in_associations,
    storage_contexts,
)
from isthmus.transport.dimse.library import PDU_BYTES, Messages, arm, stored

CONNECT_S: Final = 10.0
ANSWERS_MAX: Final = 20_000
ANSWERS_BYTES: Final = 64 << 20
UIDS_AT_ONCE: Final = 50  # of instances, in one request
PENDING: Final = (0xFF00, 0xFF01)
PATIENT_ID, LEVEL, CHARACTER_SET = "00100020", "00080052", "00080005"
STUDY_UID, SERIES_UID, SOP_UID = "0020000D", "0020000E", "00080018"
COUNTERS: Final = ("Completed", "Failed", "Warning")
_BINARY: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})

DicomJson = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Peer:
    """A PACS, and who we are towards it. `silence_s` is how long it may say nothing, `search_s` how long a search may take."""

    host: str
    port: int
    ae_title: str
    our_ae_title: str
    silence_s: float = 20.0
    tls: Callable[[], ssl.SSLContext] | None = None
    search_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for: the unique keys down to a level, and for a search what to give back beside them.

    Values are sent as they are: whoever asks makes sure that none of them is a pattern.
    """

    level: str  # STUDY, SERIES or IMAGE
    keys: Mapping[str, str | Sequence[str]]
    give: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the peer says a retrieval ended. A counter that it left out is None."""

    status: int
    completed: int | None = None
    failed: int | None = None
    warned: int | None = None
    failed_uids: tuple[str, ...] = ()

    @property
    def claims_success(self) -> bool:
        """Whether it says, without contradicting itself, that nothing is missing. What arrived may still be less."""
        return self.status == 0 and not self.failed and not self.failed_uids


@contextmanager
def association(
    peer: Peer, contexts: list[PresentationContext], folder: Path, receiver: Receiver | None = None,
    providing: Sequence[str] = (),
) -> Iterator[Association]:  # fmt: skip
    """An association for as long as the block lasts. `providing`: classes whose instances the peer sends us over it.

    Raises NationalInfrastructureUnavailable when there is none.
    """
    entity = ApplicationEntity(ae_title=peer.our_ae_title)
    entity.connection_timeout, entity.acse_timeout = CONNECT_S, peer.silence_s
    entity.dimse_timeout = entity.network_timeout = peer.silence_s
    try:
        made = entity.associate(
            peer.host, peer.port, contexts=contexts, ae_title=peer.ae_title, max_pdu=PDU_BYTES,
            ext_neg=[build_role(uid, scp_role=True) for uid in providing],
            tls_args=(peer.tls(), peer.host) if peer.tls else None,
            evt_handlers=[(evt.EVT_CONN_OPEN, arm, [folder, receiver, peer.silence_s]), (evt.EVT_C_STORE, stored)],
        )  # fmt: skip
    except (OSError, ValueError, RuntimeError) as error:
        raise NationalInfrastructureUnavailable(f"no association with the PACS: {type(error).__name__}") from error
    if not made.is_established:
        why = "refused it" if made.is_rejected else "cannot be reached or does not accept what is proposed"
        raise NationalInfrastructureUnavailable(f"no association with the PACS: it {why}")
    for context in made.accepted_contexts:
        if context.abstract_syntax in providing:
            context._as_scp = True  # many a peer sends, and forgets to say that it will
    try:
        yield made
    except BaseException:
        made.abort()
        raise
    else:
        made.release()
    finally:
        if isinstance(made.dimse, Messages):
            made.dimse.end()


def echo(peer: Peer, folder: Path) -> None:
    """Ask whether it is there. Raises NationalInfrastructureUnavailable."""
    with association(peer, [build_context(VERIFICATION)], folder) as made:
        if made.send_c_echo().get("Status") != 0:
            raise NationalInfrastructureUnavailable("the PACS answers C-ECHO with a failure")


class Questions:
    """C-FIND over one association, as often as needed."""

    def __init__(self, made: Association, search_s: float) -> None:
        self._made, self._search_s, self._bytes = made, search_s, 0

    @classmethod
    @contextmanager
    def open(cls, peer: Peer, folder: Path) -> Iterator[Questions]:
        with association(peer, [build_context(root + "1") for root in ROOTS], folder) as made:
            yield cls(made, peer.search_s)

    def find(self, asked: Asked) -> list[DicomJson]:
        """Every answer, as DICOM JSON. Raises NationalInfrastructureUnavailable for less than every answer."""
        root, until = _root(self._made), monotonic() + self._search_s
        found: list[DicomJson] = []
        for status, identifier in self._made.send_c_find(_identifier(asked, root, searching=True), root + "1"):
            code = status.get("Status")
            if code == 0:
                return found
            if code not in PENDING or identifier is None:
                raise NationalInfrastructureUnavailable(_failure("C-FIND", code))
            row = as_json(identifier)
            self._bytes += len(repr(row))
            if len(found) >= ANSWERS_MAX or self._bytes > ANSWERS_BYTES:
                raise NationalInfrastructureUnavailable("the PACS gives more answers than are taken")
            if monotonic() > until:
                raise NationalInfrastructureUnavailable("the PACS takes too long for one question")
            found.append(row)
        raise NationalInfrastructureUnavailable("the PACS broke off its answers")


def get(
    peer: Peer, folder: Path, asked: Asked, instances: Mapping[str, str], receiver: Receiver, *, apart: bool = False
) -> list[Outcome]:
    """C-GET. `instances`: the UIDs expected, with their classes, from which the contexts are chosen.

    More classes than fit into one association are asked for in several, by the instances' UIDs.
    """
    groups = in_associations(instances.values(), apart=apart)
    outcomes: list[Outcome] = []
    for classes in groups:
        contexts = [build_context(root + "3") for root in ROOTS]
        contexts += [context for one in classes for context in storage_contexts(one, apart=apart)]
        wanted = [asked] if len(groups) == 1 else _one_by_one(asked, instances, classes)
        with association(peer, contexts, folder, receiver, classes) as made:
            root = _root(made)
            for part in wanted:
                outcomes.append(_ended("C-GET", made.send_c_get(_identifier(part, root), root + "3")))
    return outcomes


def get_as(peer: Peer, folder: Path, asked: Asked, classes: Sequence[str], receiver: Receiver) -> Outcome:
    """C-GET of what is asked for, as far as it is of these classes, which fit into one association: for who does not know them."""
    contexts = [build_context(root + "3") for root in ROOTS]
    contexts += [context for one in classes for context in storage_contexts(one)]
    with association(peer, contexts, folder, receiver, classes) as made:
        root = _root(made)
        return _ended("C-GET", made.send_c_get(_identifier(asked, root), root + "3"))


def move(peer: Peer, folder: Path, asked: Asked, destination: str) -> Outcome:
    """C-MOVE to an AE title of ours that the peer knows, where `inbound.py` listens."""
    with association(peer, [build_context(root + "2") for root in ROOTS], folder) as made:
        root = _root(made)
        return _ended("C-MOVE", made.send_c_move(_identifier(asked, root), destination, root + "2"))


def _one_by_one(asked: Asked, instances: Mapping[str, str], classes: Sequence[str]) -> list[Asked]:
    """The instances of some classes, by their UIDs."""
    uids = [uid for uid, sop_class in instances.items() if sop_class in classes]
    parts = [uids[at : at + UIDS_AT_ONCE] for at in range(0, len(uids), UIDS_AT_ONCE)]
    return [Asked("IMAGE", {**asked.keys, SOP_UID: part}) for part in parts]


def _root(made: Association) -> str:
    accepted = {str(context.abstract_syntax).rpartition(".")[0] + "." for context in made.accepted_contexts}
    for root in ROOTS:
        if root in accepted:
            return root
    raise NationalInfrastructureUnavailable("the PACS offers neither Study Root nor Patient Root for this")


def _identifier(asked: Asked, root: str, *, searching: bool = False) -> Dataset:
    """The keys as a data set. Below the study, Study Root knows no patient."""
    identifier = Dataset()
    keys = dict(asked.keys)
    if root == STUDY_ROOT and (not searching or asked.level != "STUDY"):
        keys.pop(PATIENT_ID, None)
    for tag in (*keys, *(one for one in asked.give if one not in keys)):
        number, vr = int(tag, 16), dictionary_VR(int(tag, 16))
        value: Any = keys.get(tag, [] if vr == "SQ" else "")
        identifier.add_new(number, vr, value if isinstance(value, str) else list(value))
    identifier.QueryRetrieveLevel = asked.level
    if not all(str(value).isascii() for value in keys.values()):
        identifier.SpecificCharacterSet = "ISO_IR 192"
    return identifier


def _ended(what: str, responses: Iterator[tuple[Dataset, Dataset | None]]) -> Outcome:
    """The last of the responses. Raises NationalInfrastructureUnavailable when there is none."""
    for status, identifier in responses:
        code = status.get("Status")
        if code is None:
            raise NationalInfrastructureUnavailable(f"the PACS broke off {what}, or fell silent")
        if code not in PENDING:
            named = identifier.get("FailedSOPInstanceUIDList") if identifier is not None else None
            uids = [named] if isinstance(named, str) else list(named or ())
            completed, failed, warned = (status.get(f"NumberOf{name}Suboperations") for name in COUNTERS)
            return Outcome(code, completed, failed, warned, tuple(map(str, uids)))
    raise NationalInfrastructureUnavailable(f"the PACS broke off {what}")


def _failure(what: str, code: int | None) -> str:
    return f"the PACS broke off {what}, or fell silent" if code is None else f"the PACS fails at {what}: 0x{code:04X}"


def as_json(found: Dataset) -> DicomJson:
    """A data set as DICOM JSON, text decoded by its own character set. What cannot be read is left out, alone."""
    row: DicomJson = {}
    for tag in found.keys():  # noqa: SIM118  # items() would decode at once
        try:
            element = found[tag]
            if element.VR not in _BINARY:
                row[f"{tag:08X}"] = element.to_json_dict(None, 0)
        except Exception:  # noqa: S112  # any value a PACS holds, and whatever the parser makes of it
            continue
    return row
