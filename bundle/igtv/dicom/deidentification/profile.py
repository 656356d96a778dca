"""What stays of a DICOM file: PS3.15 annex E, basic profile, turned round into a list of what is kept.

Table E.1-1 of PS3.15 (2024b) names what must go. Here every attribute goes that `profile.json` does not name, so that
what the table forgets, and what comes after it, goes too. Of what the table names only that stays which an option of
the standard allows; UIDs are replaced wherever they stand.
"""

import json
from pathlib import Path

# options of table CID 7050, as files say which were applied
METHODS = (
    ("113100", "Basic Application Confidentiality Profile"),
    ("113105", "Clean Descriptors Option"),
    ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
    ("113108", "Retain Patient Characteristics Option"),
    ("113111", "Retain Safe Private Option"),
)

# objects that are read: CT, PET, RTSTRUCT, spatial and deformable registration, SEG, real-world values
SOP_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.2": "CT",
    "1.2.840.10008.5.1.4.1.1.128": "PET",
    "1.2.840.10008.5.1.4.1.1.481.3": "RTSTRUCT",
    "1.2.840.10008.5.1.4.1.1.66.1": "spatial registration",
    "1.2.840.10008.5.1.4.1.1.66.3": "deformable registration",
    "1.2.840.10008.5.1.4.1.1.66.4": "segmentation",
    "1.2.840.10008.5.1.4.1.1.67": "real-world value mapping",
}

_TABLE = json.loads(Path(__file__).with_name("profile.json").read_text(encoding="ascii"))

# Retain Longitudinal Temporal Information, dates modified: every date moves by the patient's own number of days
SHIFTED = frozenset(_TABLE["shifted"])
TIMES = frozenset(_TABLE["times"])
# Retain Patient Characteristics: what SUV needs
CHARACTERISTICS = frozenset(_TABLE["characteristics"])
# Clean Descriptors: only known words stay
CLEANED = frozenset(_TABLE["cleaned"])
PSEUDONYM = frozenset(_TABLE["pseudonym"])
EMPTIED = frozenset(_TABLE["emptied"])
REPLACED: dict[str, str] = _TABLE["replaced"]
# text that no person writes at the scanner: makers' names, kernels, methods, nuclides, codes
SCANNER_TEXT = frozenset(_TABLE["scanner_text"])
# numbers, codes and UIDs that table E.1-1 does not name (UIDs that it names are replaced)
KEPT = frozenset().union(*_TABLE["kept"].values())
# of their items only what this table names is kept, and so on down
SEQUENCES = frozenset(_TABLE["sequences"])
# values that must not be found in any text afterwards
IDENTIFIERS: list[str] = _TABLE["identifiers"]
