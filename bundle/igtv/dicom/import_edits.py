"""What people changed in a case's entry in the datalist since an import wrote it, for the next import to keep."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .import_case import CT_FILE, LABEL_FILE, PET_FILE

logger = logging.getLogger(__name__)

OF_A_LABEL = {"label", "label_kind", "no_tumour"}  # keys that go with one label and with no other
FILES = {"ct": CT_FILE, "pet": PET_FILE, "label": LABEL_FILE}


def case_item(case: str, facts: Mapping) -> dict[str, Any]:
    """Entry of a case with PET, as an import makes it of the case's facts."""
    item = {"case": case, "ct": f"{case}/{CT_FILE}", "pet": f"{case}/{PET_FILE}"}
    if "label" in facts["source"]:
        item |= {"label": f"{case}/{LABEL_FILE}", "label_kind": facts["label_kind"]}
    return item | {"patient_id": facts["patient_id"], "ct_kind": facts["ct_kind"], "source": facts["source"]}


def folder_of(entry: Mapping) -> str:
    """Folder of an entry's CT in the data set's folder: the case, where an import made it."""
    return str(entry.get("ct", "")).split("/")[0]


def merged_entry(
    item: Mapping[str, Any], entry: Mapping[str, Any], written: Mapping[str, Any] | None, folder: Path
) -> dict[str, Any]:
    """The entry of a case: what an import says now, but for what people changed since the last one, and their own keys.

    Args:
        item: of the present import, as `case_item` makes it.
        entry: as the datalist holds it.
        written: of the last import; None where it is not known: only paths can be seen to be other than it made them.
        folder: of the data set; files that are not there any more are not kept.
    """
    edited = _edited_keys(item, entry, written or _usual_paths(item, entry))
    for key in edited & entry.keys() & FILES.keys():
        if not (folder / str(entry[key])).is_file():
            logger.warning(
                "case %s: %s of the datalist, its %s, does not exist any more", item["case"], entry[key], key
            )
            edited.discard(key)
    if "label" in edited:
        edited |= OF_A_LABEL
    elif "label" not in item:
        entry = {key: entry[key] for key in entry if key not in OF_A_LABEL}
    kept = {key: entry[key] for key in edited if key in entry}
    return {key: value for key, value in {**entry, **item}.items() if key not in edited} | kept


def _edited_keys(item: Mapping, entry: Mapping, written: Mapping) -> set[str]:
    """Keys of the importer that are not as it wrote them, but for `source`, which says what the case is made of."""
    keys = {*item, *written, "label"} - {"source"}
    return {key for key in keys if entry.get(key) != written.get(key)}


def _usual_paths(item: Mapping, entry: Mapping) -> dict[str, Any]:
    """What the importer may have written for an entry: other keys count as its own, paths by the name of the case."""
    name = entry.get("case") or folder_of(entry)
    values = {key: entry[key] for key in item if key in entry}
    return values | {key: f"{name}/{file}" for key, file in FILES.items() if key in entry}
