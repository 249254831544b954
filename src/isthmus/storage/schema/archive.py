"""The archive's index: who is known, what is kept, where its bytes lie. The bytes are in containers, never here.

Times are ISO text as the border writes them. An instance that was refused has no row; one that is quarantined has one that is never offered.

Source: interfaces.md §10, §11; performance.md §3.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, LargeBinary, String, Table, UniqueConstraint, text

from isthmus.storage.schema.metadata import INDEX

patients = Table(
    "patients",
    INDEX,
    Column("id", Integer, primary_key=True),
    Column("system", String, nullable=False),
    Column("value", String, nullable=False),
    Column("names", String, nullable=False),  # JSON: [[family, [given, …], language], …]
    Column("birth_date", String, nullable=False),  # ISO, maybe partial, "" when nobody said
    Column("gender", String, nullable=False),
    Column(
        "anchor", Boolean, nullable=False, server_default=text("0")
    ),  # named by a source behind us, not registered here
    Column("merged_into", Integer),  # the row of the survivor: this identifier is no longer valid
    UniqueConstraint("system", "value"),
    Index("patients_by_birth_date", "birth_date"),
)

studies = Table(
    "studies",
    INDEX,
    Column("study_instance_uid", String, primary_key=True),
    Column("patient_id", ForeignKey("patients.id"), index=True),  # none while all of it is unassigned
    Column("generation", Integer, nullable=False),  # raised by each change of what is offered
    Column("corrections", Integer, nullable=False, server_default=text("0")),  # how often something was taken away
    Column(
        "source", String, nullable=False, server_default=""
    ),  # the one behind us that holds it; "" the archive itself
    Column("content", String),  # what that source last told of it, as a fingerprint
)

instances = Table(
    "instances",
    INDEX,
    Column("id", Integer, primary_key=True),
    Column("sop_instance_uid", String, nullable=False),
    Column("series_instance_uid", String, nullable=False),
    Column("study_instance_uid", String, nullable=False),
    Column("sop_class_uid", String, nullable=False),
    Column("state", String, nullable=False),  # served, unassigned, quarantined, corrected, rejected, note, deleted
    Column("source", String, nullable=False, server_default=""),  # through which it came; "" the first of images
    Column("reason", String),  # of the quarantine, or of the rejection: its code
    Column("detail", String),
    Column("said_patient", String),  # SYSTEM|VALUE as the file says, for the operator
    Column("patient_id", ForeignKey("patients.id")),  # whom it is served for
    Column("number", Integer),
    Column("frames", Integer),
    Column("title", String),  # JSON code of a key object selection
    Column("description", String),
    Column("refers_to", String),  # other studies of which it names instances, one a line
    Column("study_facts", String, nullable=False),  # JSON; equal text for most of a study
    Column("series_facts", String, nullable=False),
    Column("container", String, nullable=False),
    Column("offset", Integer, nullable=False),
    Column("size", Integer, nullable=False),
    Column("sha256", String, nullable=False),
    Column("transfer_syntax_uid", String, nullable=False),
    Column("crossing_container", String),  # the Explicit-LE form, where the stored one may not cross
    Column("crossing_offset", Integer),
    Column("crossing_size", Integer),
    Column("crossing_sha256", String),
    Index("instances_of_study", "study_instance_uid", "series_instance_uid"),
    Index("instances_by_uid", "sop_instance_uid", unique=True, sqlite_where=text("state <> 'quarantined'")),
    Index("instances_by_sha256", "sha256"),
    Index("instances_referring", "study_instance_uid", sqlite_where=text("refers_to is not null")),
)

documents = Table(
    "documents",
    INDEX,
    Column("number", Integer, primary_key=True),
    Column("kind", String, nullable=False),
    Column("state", String, nullable=False),  # served, quarantined, corrected, withdrawn, retracted, deleted
    Column(
        "source", String, nullable=False, server_default=""
    ),  # the one behind us that holds it; "" the archive itself
    Column("foreign_id", String),  # as that source names it
    Column("reason", String),
    Column("patient_id", ForeignKey("patients.id"), index=True),
    Column("unique_system", String, nullable=False),
    Column("unique_value", String, nullable=False),
    Column("family", String),  # what its versions have in common: Composition.identifier, or the study
    Column("title", String, nullable=False),
    Column("status", String, nullable=False),  # current, superseded
    Column("replaces", ForeignKey("documents.number")),
    Column("created", String, nullable=False),
    Column("indexed", String, nullable=False),
    Column("language", String),
    Column("facts", String, nullable=False),  # JSON: what a list shows beside the columns
    Column("media_type", String, nullable=False),
    Column("size", Integer, nullable=False),
    Column("sha256", String, nullable=False),
    Column("container", String),  # where its bytes lie; a manifest's are in `prepared`
    Column("offset", Integer),
    Index("documents_by_unique_id", "unique_system", "unique_value"),
    Index("documents_by_family", "family"),
    Index("documents_by_sha256", "sha256"),
    Index("documents_by_foreign_id", "source", "foreign_id", unique=True, sqlite_where=text("foreign_id is not null")),
    sqlite_autoincrement=True,  # a number is never used twice
)

prepared = Table(
    "prepared",
    INDEX,
    Column("document", ForeignKey("documents.number"), primary_key=True),
    Column("study_instance_uid", String, nullable=False),
    Column("pack", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("generation", Integer, nullable=False),  # the one it is good for
    Column("uid", String, nullable=False),
    Column("body", LargeBinary, nullable=False),  # zlib
    UniqueConstraint("study_instance_uid", "pack", "kind", "uid"),
)

formed = Table(  # the European document made of a report that was issued otherwise; decision 0016
    "formed",
    INDEX,
    Column("document", ForeignKey("documents.number"), primary_key=True),
    Column("study_instance_uid", String, index=True),  # of the instance that the report is
    Column("made_for", String, nullable=False),
    Column("profile", String, nullable=False),
    Column("size", Integer, nullable=False),  # 0: nothing can be made of it
    Column("sha256", String, nullable=False),
    Column("body", LargeBinary, nullable=False),  # zlib
)

looked = Table(  # which studies have been looked at for instances that are reports
    "looked",
    INDEX,
    Column("study_instance_uid", String, primary_key=True),
    Column("generation", Integer, nullable=False),
)

described = Table(
    "described",
    INDEX,
    Column("study_instance_uid", String, primary_key=True),
    Column("series_instance_uid", String, primary_key=True),  # "" for the study as a whole
    Column("generation", Integer, nullable=False),  # the one it is good for
    Column("body", LargeBinary, nullable=False),  # gzip of a JSON array
)

learnt = Table(  # what a source behind us does not tell of its instances, and what was learnt by receiving them once
    "learnt",
    INDEX,
    Column("source", String, primary_key=True),
    Column("study_instance_uid", String, primary_key=True),
    Column("sop_instance_uid", String, primary_key=True),
    Column("sop_class_uid", String, nullable=False),
)

unmapped = Table(
    "unmapped",
    INDEX,
    Column("study_instance_uid", String, primary_key=True),
    Column("kind", String, primary_key=True),  # procedure, body-part, region
    Column("system", String, primary_key=True),
    Column("code", String, primary_key=True),
    Column("display", String, nullable=False),
    Column("source", String, nullable=False),
)

merged = Table(  # what a merged identifier had: a split gives it back
    "merged",
    INDEX,
    Column("former", ForeignKey("patients.id"), primary_key=True),
    Column("kind", String, primary_key=True),  # study, document
    Column("item", String, primary_key=True),
)

rejections = Table(  # what notes say of instances, whether they are here or not
    "rejections",
    INDEX,
    Column("note", String, primary_key=True),  # SOP Instance UID
    Column("sop_instance_uid", String, primary_key=True),
    Column("patient_id", ForeignKey("patients.id"), nullable=False),  # of the note: it says nothing of a stranger's
    Column("code", String, nullable=False),
    Column("lifted", Boolean, nullable=False, server_default=text("0")),  # by the operator
    Column("recorded", Boolean, nullable=False, server_default=text("0")),  # on the trail
    Index("rejections_of_instance", "sop_instance_uid"),
)
