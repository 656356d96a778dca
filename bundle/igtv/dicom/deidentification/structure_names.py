"""Names of ROIs and segments cleaned so that the importer takes the same ones as before and no others."""

from ..phases import phase_in_roi_name
from ..roi_names import Standing, standing
from .descriptions import clean_text

_LONGEST = 64  # characters of a DICOM text (LO)
# targets of whose names nothing may stay but what they are, by the tier of `roi_names`
_PLAIN = {"IGTV": "IGTV", "GTV on the MIP": "GTV_MIP", "ITV": "ITV", "GTV": "GTV", "tumour": "tumour"}


def clean_structure_name(text: str, neutral: str) -> str:
    """`GTV Miller` and `GTVMiller` -> `GTV`; `Miller GTV`, which is none by its name, -> `ROI 3`.

    Args:
        text: as written by a person.
        neutral: the name where nothing may stay, such as `ROI 3`.

    Returns:
        For a name that `roi_names` chooses one with the same standing and phase of breathing, for others one that is
        not chosen either.
    """
    before, phase, cleaned = standing(text), phase_in_roi_name(text.strip()), clean_text(text)[:_LONGEST].rstrip()
    if not before.eligible:
        return cleaned if cleaned and not standing(cleaned).eligible else neutral
    plain = _plain(before)
    for name in (cleaned, plain, f"{plain} {phase}"):
        if standing(name) == before and phase_in_roi_name(name) == phase:
            return name
    return neutral


def _plain(of: Standing) -> str:
    if of.node:
        return "IGTV_LN" if of.says_igtv else "LN"
    return _PLAIN[of.igtv]
