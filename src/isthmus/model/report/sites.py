"""Sites of the body, with their side. Source: data set A.5.1.6, A.4.4."""

from __future__ import annotations

from dataclasses import dataclass

from isthmus.model.codes import Code


@dataclass(frozen=True, slots=True)
class Site:
    """A part of the body as it is named, empty where the code alone tells it; `morphology` is what is abnormal there."""

    text: str
    code: Code | None = None
    laterality: Code | None = None  # SNOMED CT: left, right, bilateral, unilateral
    morphology: Code | None = None

    @property
    def shown(self) -> str:
        side = self.laterality.display or self.laterality.code if self.laterality else None
        changed = self.morphology.display or self.morphology.code if self.morphology else None
        return ", ".join(
            filter(None, (self.text or (self.code.display or self.code.code if self.code else ""), side, changed))
        )
