"""Security labels of a resource: what of them says how confidential it is.

Source: R4 security-labels, Composition.confidentiality, DocumentReference.securityLabel.
"""

from __future__ import annotations

from collections.abc import Iterator

from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node
from isthmus.model.confidentiality import label_of


def labels_of(node: Node) -> Iterator[str]:
    """Every label that a resource carries, by the codes of HL7 or by the same letters of another list."""
    coded = [*el.codings(node, "securityLabel"), *el.children(el.child(node, "meta"), "security")]
    said = [label_of(el.text(one, "code"), el.text(one, "system")) for one in coded]
    if node.get("resourceType") == "Composition":
        said.append(label_of(el.text(node, "confidentiality")))
    yield from filter(None, said)
