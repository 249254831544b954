"""Key object selections, read: a manifest by whomever, with or without image library, in temporary codes and final ones.

The title says what a key object selection is; the evidence says which instances there are and where, the content tree what they
are. Everything is bounded, and nothing that is read is followed.

Source: MADO; CP-2595; XDS-I.b; wire.md §1.7, MKO-16 to MKO-18, MKO-22; field-faults F26.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from isthmus.dicom import tags
from isthmus.dicom.content import Item, read_content
from isthmus.dicom.faults import DicomFault
from isthmus.dicom.header import KEY_OBJECT_SELECTION
from isthmus.dicom.values import iso_date, whole_number
from isthmus.dicom.windows import Bounds
from isthmus.errors import MalformedRequest, UnsupportedRequest
from isthmus.model.codes import SNOMED, Code
from isthmus.model.identifiers import Identifier, PatientIdentifier, is_uid, plain_uid
from isthmus.model.imaging import Instance, Manifest, Series, Study
from isthmus.model.people import HumanName, Organisation, Patient
from isthmus.model.queries import REGIONS
from isthmus.wire import kos_values as values
from isthmus.wire.kos import MODALITIES, base_of
from isthmus.wire.kos_values import Moment
from isthmus.wire.manifests import ManifestRead
from isthmus.wire.packs.pack import Pack

BOUNDS: Final = Bounds(max_depth=16, max_elements=1_000_000, max_non_pixel_bytes=32 * 1024 * 1024)
NO_MODALITY: Final = "OT"
UNKNOWN: Final = "not known"
OF_INSTANCES: Final = frozenset({"instance_number", "frames", "document_title", "description"})
GENDERS: Final = {sex: gender for gender, sex in values.SEXES.items()}

_COUNT = re.compile(r"\d{1,9}", re.ASCII)


Told = dict[str, Item]  # content items by our name for their concept


class KeyObjects(StrEnum):
    """What a key object selection is for."""

    MANIFEST = "manifest"
    KEY_IMAGES = "key images"
    REJECTION = "rejection"


def read_document(data: bytes) -> tuple[str, Item]:
    """Transfer syntax and values of a key object selection. Raises MalformedRequest, and UnsupportedRequest for another object."""
    try:
        meta, root = read_content(data, BOUNDS)
    except DicomFault as fault:
        raise MalformedRequest(f"no DICOM document that can be read ({fault.reason})") from fault
    if plain_uid(root.text(tags.SOP_CLASS_UID)) != KEY_OBJECT_SELECTION:
        raise UnsupportedRequest("a DICOM object, but no key object selection", reason="body-media")
    return meta.syntax.uid, root


def purpose_of(root: Item, pack: Pack) -> KeyObjects:
    """What the title says this key object selection is for. Source: field-faults F26; PS3.16 CID 7010."""
    title = root.concept
    if title in pack.kos_aliases["title"]:
        return KeyObjects.MANIFEST
    return KeyObjects.REJECTION if title in pack.kos_aliases["rejection"] else KeyObjects.KEY_IMAGES


def read_kos(data: bytes, pack: Pack) -> ManifestRead:
    """Read a manifest, ours or another's.

    One titled as key images is a manifest only when it says of every series where it is retrieved, as national networks write them;
    that is forgiven and said. Raises MalformedRequest, and UnsupportedRequest for key objects that are no manifest.
    """
    _, root = read_document(data)
    return _Reader(root, pack).read()


@dataclass(slots=True)
class _Held:
    """A series of the evidence."""

    uid: str
    instances: dict[str, str] = field(default_factory=dict)  # class by instance
    location: str = ""
    title: str = ""  # application entity
    address: str = ""


class _Reader:
    def __init__(self, root: Item, pack: Pack) -> None:
        self.root, self.pack = root, pack
        self.forgiven: set[str] = set()
        self.offset = root.text(tags.TIMEZONE_OFFSET_FROM_UTC)
        self.names = {value: name for name, (value, *_) in pack.kos.items()}
        self.names |= {value: name for name, known in pack.kos_aliases.items() for value in known}
        self.named = [(name, one) for one in root.tree() if (name := self.name(one))]

    def read(self) -> ManifestRead:
        root, study_uid = self.root, self.uid(self.root, tags.STUDY_INSTANCE_UID)
        held = self.evidence(study_uid)
        self.judge_title(held)
        groups = self.groups(held)
        if not groups:
            self.forgiven.add("no-image-library")
        series = [self.series(one, groups.get(one.uid)) for one in held.values()]
        source = values.read_organisation_name(root.text(tags.INSTITUTION_NAME))
        if source is None:
            self.forgiven.add("no-institution")
        custodian = root.first(tags.CUSTODIAL_ORGANIZATION_SEQUENCE).text(tags.INSTITUTION_NAME)
        accessions, placers, procedure = self.orders()
        study = Study(
            study_instance_uid=study_uid,
            patient=self.patient(study_uid),
            series=tuple(sorted(series, key=lambda s: (s.number is None, s.number or 0, s.series_instance_uid))),
            started=self.moment(root, tags.STUDY_DATE, tags.STUDY_TIME),
            description=root.text(tags.STUDY_DESCRIPTION) or None,
            accession_numbers=accessions,
            placer_order_numbers=placers,
            regions=self.regions(),
            procedure=procedure,
            procedure_code=values.first_known(
                values.read_concept(one, tags.REQUESTED_PROCEDURE_CODE_SEQUENCE)
                for one in root.items(tags.REFERENCED_REQUEST_SEQUENCE)
            ),
            custodian=values.read_organisation_name(custodian),
            other_modalities=self.other_modalities({one.modality for one in series}),
        )
        location, address = self.place(held)
        manifest = Manifest(
            uid=self.uid(root, tags.SOP_INSTANCE_UID),
            study=study,
            created=self.created(),
            location_uid=location,
            source=source or Organisation(UNKNOWN),
            device_manufacturer=root.text(tags.MANUFACTURER),
            endpoint_address=address,
        )
        return ManifestRead(manifest, tuple(sorted(self.forgiven)))

    def uid(self, item: Item, tag: int) -> str:
        """A UID with or without prefix. Raises MalformedRequest."""
        uid = plain_uid(item.text(tag))
        if not is_uid(uid):
            raise MalformedRequest("a UID is missing or none", reason="uid", path=tags.name_of(tag))
        return uid

    def judge_title(self, held: dict[str, _Held]) -> None:
        purpose = purpose_of(self.root, self.pack)
        located = all(is_uid(one.location) for one in held.values())
        if purpose is KeyObjects.REJECTION or (purpose is KeyObjects.KEY_IMAGES and not located):
            raise UnsupportedRequest(f"this key object selection is no manifest ({purpose.value})", reason="body-media")
        if purpose is KeyObjects.KEY_IMAGES:
            self.forgiven.add("title-of-key-images")

    def evidence(self, study_uid: str) -> dict[str, _Held]:
        """The series with their instances, each once. Raises MalformedRequest for a second study, or for none."""
        held: dict[str, _Held] = {}
        for study in self.root.items(tags.EVIDENCE_SEQUENCE):
            if self.uid(study, tags.STUDY_INSTANCE_UID) != study_uid:
                raise MalformedRequest(
                    "a manifest describes one study", path="CurrentRequestedProcedureEvidenceSequence"
                )
            for series in study.items(tags.REFERENCED_SERIES_SEQUENCE):
                uid = self.uid(series, tags.SERIES_INSTANCE_UID)
                one = held.setdefault(uid, _Held(uid))
                one.location = one.location or plain_uid(series.text(tags.RETRIEVE_LOCATION_UID))
                one.title = one.title or series.text(tags.RETRIEVE_AE_TITLE)
                one.address = one.address or series.text(tags.RETRIEVE_URL)
                for reference in series.items(tags.REFERENCED_SOP_SEQUENCE):
                    instance = self.uid(reference, tags.REFERENCED_SOP_INSTANCE_UID)
                    if instance in one.instances:
                        self.forgiven.add("listed-twice")
                    one.instances[instance] = self.uid(reference, tags.REFERENCED_SOP_CLASS_UID)
        if not held:
            raise MalformedRequest("a manifest without evidence", path="CurrentRequestedProcedureEvidenceSequence")
        return held

    def place(self, held: dict[str, _Held]) -> tuple[str, str | None]:
        """Where the images are: one location and one address, of the first series that has one."""
        locations = dict.fromkeys(one.location for one in held.values() if one.location)
        addresses = dict.fromkeys(one.address for one in held.values() if one.address)
        titles = dict.fromkeys(one.title for one in held.values() if one.title)
        if len(locations) > 1 or len(addresses) > 1:
            self.forgiven.add("several-locations")
        location = next(iter(locations or titles), "" if not addresses else UNKNOWN)
        if not is_uid(location):
            self.forgiven.add("location-not-uid" if location else "no-endpoint")
        address = next(iter(addresses), None)
        if address is None or address in self.pack.aliases["no_address"]:
            return location, None
        if base_of(address) != address:
            self.forgiven.add("address-not-base")
        return location, base_of(address)

    def groups(self, held: dict[str, _Held]) -> dict[str, Item]:
        """The groups of the image library by series, by UID or else by the instances that they list."""
        series_of = {instance: one.uid for one in held.values() for instance in one.instances}
        found: dict[str, Item] = {}
        for group in self.all("group"):
            told = (one.text(tags.CONTENT_ITEM_UID) for one in group.below if self.name(one) == "series_uid")
            uid = plain_uid(next(told, ""))
            if uid not in held:
                listed = (series_of.get(_referred(one)) for one in group.below)
                uid = next((series for series in listed if series), "")
                self.forgiven.add("group-by-instances" if uid else "not-in-evidence")
            if uid:
                found.setdefault(uid, group)
        return found

    def all(self, name: str) -> Iterator[Item]:
        """Every content item of this concept, wherever it stands."""
        return (one for known, one in self.named if known == name)

    def name(self, item: Item) -> str:
        """Our name for the concept of a content item, empty for one we do not know."""
        return self.names.get(item.concept, "")

    def regions(self) -> tuple[Code, ...]:
        """The regions of the study; counts that stand beside them are compared."""
        found: dict[str, Code] = {}
        for library in self.all("library"):
            for one in library.below:
                name = self.name(one)
                if name == "region" and (region := self.region(one)) is not None:
                    found.setdefault(region.code or region.display or "", region)
                elif name == "study_series" and self.count(one) not in (None, self.series_count()):
                    self.forgiven.add("counts-differ")
        return tuple(found.values())

    def other_modalities(self, of_series: set[str]) -> tuple[str, ...]:
        """Modalities that are named for the study, by none of its series."""
        named = (_code(one) for library in self.all("library") for one in library.below if self.name(one) == "modality")
        return tuple(dict.fromkeys(code.code for code in named if code is not None and code.code not in of_series))

    def series_count(self) -> int:
        studies = self.root.items(tags.EVIDENCE_SEQUENCE)
        return sum(len(study.items(tags.REFERENCED_SERIES_SEQUENCE)) for study in studies)

    def region(self, item: Item) -> Code | None:
        """A region; the spine's codes are one, and one of the ten is of SNOMED CT. Source: TOL-01, TOL-09."""
        code = _code(item)
        if code is None:
            return self.worded(item)
        if code.code in self.pack.aliases["spine"]:
            code = replace(code, code=self.pack.codes["spine_manifest"])
        if code.code in REGIONS and code.system != SNOMED:
            self.forgiven.add("region-scheme")
            code = replace(code, system=SNOMED)
        return code

    def worded(self, item: Item) -> Code | None:
        """What is told in words where a code is due."""
        text = item.text(tags.TEXT_VALUE) or item.first(tags.CONCEPT_CODE_SEQUENCE).text(tags.CODE_MEANING)
        if text:
            self.forgiven.add("region-in-words")
        return Code("", "", text) if text else None

    def count(self, item: Item) -> int | None:
        """A number, as NUM or in words. Source: MKO-16."""
        measured = item.first(tags.MEASURED_VALUE_SEQUENCE).text(tags.NUMERIC_VALUE)
        if not measured and item.text(tags.TEXT_VALUE):
            self.forgiven.add("count-as-text")
        match = _COUNT.search(measured or item.text(tags.TEXT_VALUE))
        return int(match[0]) if match else None

    def series(self, held: _Held, group: Item | None) -> Series:
        told, entries = self.told(group)
        if entries.keys() - held.instances.keys():
            self.forgiven.add("not-in-evidence")
        counted = self.count(told["series_instances"]) if "series_instances" in told else None
        if counted not in (None, len(held.instances)):
            self.forgiven.add("counts-differ")
        instances = [self.instance(uid, kind, entries.get(uid, {})) for uid, kind in held.instances.items()]
        by_class = next((MODALITIES[i.sop_class_uid] for i in instances if i.sop_class_uid in MODALITIES), NO_MODALITY)
        modality = _code(told.get("modality"))
        return Series(
            series_instance_uid=held.uid,
            modality=modality.code if modality else by_class,
            instances=tuple(sorted(instances, key=lambda i: (i.number is None, i.number or 0, i.sop_instance_uid))),
            number=_whole(told.get("series_number")),
            description=_text(told.get("series_description")),
            body_site=(_code(told["region"]) or self.worded(told["region"])) if "region" in told else None,
            laterality=_code(told.get("laterality")),
            started=self.series_started(told),
        )

    def told(self, group: Item | None) -> tuple[Told, dict[str, Told]]:
        """What a group tells of its series, and of each instance; what is told of one stands below it, with some before it."""
        of_series: Told = {}
        of_instances: dict[str, Told] = {}
        before: Told = {}
        for one in group.below if group else ():
            instance, name = _referred(one), self.name(one)
            if instance:
                of_instances[instance] = before | {self.name(below): below for below in one.below}
                before = {}
            elif name in OF_INSTANCES:
                self.forgiven.add("flat-entries")
                before[name] = one
            else:
                of_series.setdefault(name, one)
        return of_series, of_instances

    def series_started(self, told: Told) -> str | None:
        date = told["series_date"].text(tags.CONTENT_ITEM_DATE) if "series_date" in told else ""
        time = told["series_time"].text(tags.CONTENT_ITEM_TIME) if "series_time" in told else ""
        return Moment.of_dicom(date, time, self.offset).fhir()

    def instance(self, uid: str, sop_class_uid: str, told: Told) -> Instance:
        return Instance(
            sop_instance_uid=uid,
            sop_class_uid=sop_class_uid,
            number=_whole(told.get("instance_number")),
            number_of_frames=self.count(told["frames"]) if "frames" in told else None,
            title=_code(told.get("document_title")),
            description=_text(told.get("description")),
        )

    def moment(self, item: Item, date: int, time: int) -> str | None:
        return Moment.of_dicom(item.text(date), item.text(time), self.offset).fhir()

    def created(self) -> str:
        """When the manifest was made: its own moment, else content date and time. Raises MalformedRequest when it does not say."""
        root = self.root
        exact = Moment.of_date_time(root.text(tags.OBSERVATION_DATE_TIME)).fhir(zulu=True)
        date, time = root.text(tags.CONTENT_DATE), root.text(tags.CONTENT_TIME)
        said = Moment.of_dicom(date, time, self.offset)
        if exact is None and said.date and not said.offset:
            self.forgiven.add("no-offset")  # a document must have an instant
            said = Moment.of_dicom(date, time if Moment.of_dicom(date, time, "+0000").time else "0000", "+0000")
        made = exact or said.fhir(zulu=True)
        if made is None:
            raise MalformedRequest("a manifest without the time at which it was made", path="ContentDate")
        return made

    def orders(self) -> tuple[tuple[Identifier, ...], tuple[Identifier, ...], str | None]:
        """Accession numbers, placer numbers and the procedure of the requests; the header's number where they have none."""
        root = self.root
        requests = root.items(tags.REFERENCED_REQUEST_SEQUENCE)
        accessions = dict.fromkeys(
            Identifier(values.read_issuer(one.first(tags.ISSUER_OF_ACCESSION_NUMBER_SEQUENCE)), number)
            for one in (*requests, root)
            if (number := one.text(tags.ACCESSION_NUMBER))
        )
        issued = {number.value for number in accessions if number.system}
        placers = dict.fromkeys(
            Identifier(values.read_issuer(one.first(tags.ORDER_PLACER_IDENTIFIER_SEQUENCE)), number)
            for one in requests
            if (number := one.text(tags.PLACER_ORDER_NUMBER))
        )
        named = (one.text(tags.REQUESTED_PROCEDURE_DESCRIPTION) for one in requests)
        coded = (one.first(tags.CONCEPT_CODE_SEQUENCE).text(tags.CODE_MEANING) for one in self.all("procedure"))
        procedure = next((text for text in (*named, *coded) if text), None)
        return tuple(n for n in accessions if n.system or n.value not in issued), tuple(placers), procedure

    def patient(self, study_uid: str) -> Patient:
        """The patient; what the document does not say is empty, and an issuer it does not name is nobody else's."""
        root = self.root
        qualifiers = root.first(tags.ISSUER_OF_PATIENT_ID_QUALIFIERS_SEQUENCE)
        system = values.read_issuer(qualifiers) or values.system_of(root.text(tags.ISSUER_OF_PATIENT_ID))
        if system is None:
            self.forgiven.add("no-patient-issuer")
        names = list(values.read_persons(root.name(tags.PATIENT_NAME)))
        for other in root.name(tags.OTHER_PATIENT_NAMES).split("\\"):
            names += values.read_persons(other)
        number = root.text(tags.PATIENT_ID)
        if not number:
            raise MalformedRequest("a manifest without its patient", path="PatientID")
        return Patient(
            identifier=PatientIdentifier(system or values.unknown_issuer(study_uid), number),
            names=tuple(dict.fromkeys(names)) or (HumanName(""),),
            birth_date=iso_date(root.text(tags.PATIENT_BIRTH_DATE)) or "",
            gender=GENDERS.get(root.text(tags.PATIENT_SEX), "unknown"),
        )


def _referred(item: Item) -> str:
    """The instance that a content item refers to, empty when it is none that does."""
    return plain_uid(item.first(tags.REFERENCED_SOP_SEQUENCE).text(tags.REFERENCED_SOP_INSTANCE_UID))


def _code(item: Item | None) -> Code | None:
    return values.read_concept(item, tags.CONCEPT_CODE_SEQUENCE) if item else None


def _text(item: Item | None) -> str | None:
    return item.text(tags.TEXT_VALUE) or None if item else None


def _whole(item: Item | None) -> int | None:
    """A whole number in words, or measured."""
    if item is None:
        return None
    return whole_number(item.text(tags.TEXT_VALUE) or item.first(tags.MEASURED_VALUE_SEQUENCE).text(tags.NUMERIC_VALUE))
