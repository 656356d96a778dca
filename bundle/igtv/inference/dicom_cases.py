"""Cases straight from DICOM: what the importer makes of a folder, kept beside the results."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..configuration.one_text import one_text
from ..data.datalist import PARTS, read_datalist
from ..dicom.import_dataset import import_dataset
from ..dicom.import_record import LOG_FILE
from ..dicom.series import Series, find_series

IMPORT_FOLDER = "imported"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DicomCases:
    """What came out of a folder of DICOM.

    Attributes:
        cases: `case`, `ct`, `pet`; `ct_series_uid` where the CT is one series of the folder, and `ct_series_part` where
            it is one of the volumes that share the series.
        left_out: case -> why it cannot be segmented.
        series: all series of the folder, and of the one that `target_ct` names.
    """

    cases: tuple[Mapping[str, str], ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    series: tuple[Series, ...] = ()


def import_cases(
    dicom_dir: str | Path | None,
    output_dir: str | Path,
    ct_series: str | None = None,
    pet_series: str | None = None,
    target_ct: str | None = None,
    num_workers: int = 0,
    case_names: str = "patient_id",
    **choices: Any,
) -> DicomCases:
    """Import CT and PET of all patients of a folder into `<output_dir>/imported`; what is there is not made again.

    Args:
        dicom_dir: folder with the DICOM of one patient or more, other objects beside; None: nothing to import.
        output_dir: folder of the results.
        ct_series, pet_series: UID or a part of the description, where several could be meant.
        target_ct: CT to segment on, where it is not the PET's own: see the verb `importing`.
        num_workers: processes that import; they take seconds to start, so 0, this one, suits a few patients.
        case_names: "patient_id" or "hash": see `import_dataset`.
        **choices: further fields of `ImportOptions`, such as `exclude_series`.

    Raises:
        FileNotFoundError: there is no such folder.
        DicomError: nothing in it can be imported.
    """
    if not dicom_dir:
        return DicomCases()
    folder = Path(output_dir) / IMPORT_FOLDER
    choices |= {"ct_series": ct_series, "pet_series": pet_series, "target_ct": target_ct}
    datalist = import_dataset(dicom_dir, folder, case_names, num_workers=num_workers, labels=False, **choices)
    series, _ = find_series(dicom_dir)
    here = {one.series_uid for one in series}
    if target_ct and Path(one_text(target_ct)).is_dir():  # the CT may lie elsewhere; contours go back to it
        series += [one for one in find_series(one_text(target_ct))[0] if one.series_uid not in here]
    log = json.loads((folder / LOG_FILE).read_text(encoding="utf-8"))
    sources = {row["case"]: row.get("source", {}) for row in log["cases"]}
    content = json.loads(datalist.read_text(encoding="utf-8"))
    cases = []
    if any(content.get(part) for part in PARTS):
        items = read_datalist(datalist).items
        # results of another folder may lie there from an earlier run
        cases = [item.as_case() for item in items if _pet_uid(sources.get(item.case, {})) in here]
    left_out = {row["case"]: row["error"] for row in log["cases"] if row["status"] == "failed"}
    without_pet = [case for case, source in sources.items() if "pet" not in source and _ct_uids(source) & here]
    left_out |= dict.fromkeys(without_pet, "no PET: CT and PET are needed together")
    for case, reason in left_out.items():
        logger.error("Case %s: not segmented. %s", case, reason)
    return DicomCases(tuple(cases), left_out, tuple(series))


def _pet_uid(source: Mapping) -> str | None:
    return source["pet"]["series_uid"] if "pet" in source else None


def _ct_uids(source: Mapping) -> set[str]:
    return {entry["series_uid"] for entry in source.get("ct", [])}
