"""What a user may decide about an import, for all patients or for one."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from ..configuration.one_text import one_text
from .registration_quality import LEAST_BONE_DICE
from .roi_names import KINDS
from .series_choice import DEFAULT, for_patient

SWITCHES = ("nodes", "labels", "allow_missing_phases")
# These may be mappings from patient (PatientID) to value, with the entry "default" for everyone else; `aliases` may
# not: a mapping there is the table of names itself.
PER_PATIENT = (
    "target_ct",
    "ct_series",
    "pet_series",
    "label_series",
    "reg_series",
    "exclude_series",
    "roi",
    "kind",
    "least_bone_dice",
    *SWITCHES,
)


@dataclass(frozen=True)
class ImportOptions:
    """Choices of an import; series are named by UID or by (a part of) their description.

    Those of `PER_PATIENT` may be mappings; types are those of one patient's value.

    Attributes:
        target_ct: CT that the label belongs on; None: the PET's own. See `target_ct.choose_target`.
        ct_series, pet_series: CT and PET of the PET/CT, where several fit.
        label_series: RTSTRUCT or SEG, where several fit.
        reg_series: DICOM registration, where several join the target CT and the PET.
        exclude_series: a series, or a list of them, to be passed over.
        roi: name of the ROI, or a list whose union is the label.
        aliases: alias file of the clinic's ROI names.
        kind: "igtv" or "gtv": which target the label shall be.
        nodes: take nodal volumes too.
        labels: read contours at all.
        allow_missing_phases: take a 4D-CT, or a union, that lacks phases.
        least_bone_dice: limit of a registration's quality.
    """

    target_ct: Any = None
    ct_series: Any = None
    pet_series: Any = None
    label_series: Any = None
    reg_series: Any = None
    exclude_series: Any = None
    roi: Any = None
    aliases: str | Path | Mapping | None = None
    kind: str | Mapping = "igtv"
    nodes: bool | Mapping = False
    labels: bool | Mapping = True
    allow_missing_phases: bool | Mapping = False
    least_bone_dice: float | Mapping = LEAST_BONE_DICE

    def __post_init__(self):
        for kind in self._values("kind"):
            if kind not in KINDS:
                raise ValueError(f"kind is {kind!r}; it must be one of {', '.join(KINDS)}")
        for name in SWITCHES:
            for value in self._values(name):
                if not isinstance(value, bool):
                    raise ValueError(f"{name} is {value!r}; True or False is needed")
        for value in self._values("exclude_series"):
            if isinstance(value, tuple) and not all(isinstance(one, str) for one in value):
                text = one_text(value)
                raise ValueError(
                    f"exclude_series is {value!r}: one description with commas needs quotes within the quotes, "
                    f"\"'{text}'\"; a list of several needs brackets, \"['A','B']\""
                )
        for value in self._values("least_bone_dice"):
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
                raise ValueError(f"least_bone_dice is {value!r}; a number from 0 to 1 is needed")
        if isinstance(self.aliases, str | Path) and not Path(self.aliases).is_file():
            raise FileNotFoundError(f"alias file {self.aliases} does not exist")

    def for_patient(self, patient_id: str) -> "ImportOptions":
        """The options of one patient."""
        defaults = {field.name: field.default for field in fields(self)}
        own = {name: for_patient(getattr(self, name), patient_id, defaults[name]) for name in PER_PATIENT}
        return replace(self, **own)

    def check_patients(self, patient_ids: Iterable[str]) -> None:
        """Refuse mappings that name a patient who is not there.

        Args:
            patient_ids: PatientIDs found.

        Raises:
            ValueError: a misspelt patient would silently be treated like everyone else.
        """
        known = {DEFAULT, *patient_ids}
        for name in PER_PATIENT:
            value = getattr(self, name)
            unknown = [str(key) for key in value if str(key) not in known] if isinstance(value, Mapping) else []
            if unknown:
                raise ValueError(
                    f"--{name} names {', '.join(map(repr, unknown))}: no such PatientID was found; "
                    f"give PatientIDs of the export, or {DEFAULT!r} for everyone else"
                )

    def _values(self, name: str) -> list:
        """All values that an option may take, for whichever patient."""
        value = getattr(self, name)
        return list(value.values()) if isinstance(value, Mapping) else [value]

    @property
    def excluded(self) -> list[str]:
        """`exclude_series` as a list."""
        if self.exclude_series in (None, ""):
            return []
        return [self.exclude_series] if isinstance(self.exclude_series, str) else list(self.exclude_series)

    def changed(self) -> dict[str, Any]:
        """Options that are not the default, JSON-ready; the alias file by its content."""
        defaults = {field.name: field.default for field in fields(self)}
        values = {key: value for key, value in asdict(self).items() if value != defaults[key]}
        if isinstance(values.get("aliases"), str | Path):
            values["aliases"] = Path(values["aliases"]).read_text(encoding="utf-8")
        return json.loads(json.dumps(values, default=str))
