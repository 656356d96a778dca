"""The datalist of an import: new cases join it, and what people changed in it stays."""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..data.datalist import DATALIST_NAME, PARTS
from ..files import write_json
from .import_case import CT_FILE
from .import_edits import case_item, folder_of, merged_entry
from .import_record import IMPORTER, read_log_rows, scan_of, study_of

logger = logging.getLogger(__name__)

LEFT_OUT = "left_out"  # key of the datalist: cases that people took out


def read_earlier(dataset_dir: Path) -> dict[str, Any] | None:
    """The datalist of earlier imports, which people may have edited; None where there is none.

    Raises:
        FileExistsError: it is no importer's.
        ValueError: it cannot be read; the text names file and place.
    """
    path = dataset_dir / DATALIST_NAME
    if not path.is_file():
        return None
    text = path.read_bytes()
    if f'"{IMPORTER}"'.encode() not in text:
        raise FileExistsError(
            f"dataset_dir {dataset_dir} holds a {DATALIST_NAME} of other origin: give a new or empty folder"
        )
    try:
        content = json.loads(text.decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        raise _unreadable(path, f"is not valid JSON, line {error.lineno}, column {error.colno}: {error.msg}") from error
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        raise _unreadable(path, f"is not UTF-8, line {line}: it was saved in another encoding") from error
    if not isinstance(content, dict):
        raise _unreadable(path, f"holds a {type(content).__name__} where an object with `training` is expected")
    for key in (*PARTS, LEFT_OUT):
        kind, what = (str, "names of cases") if key == LEFT_OUT else (dict, "objects with `ct` and `pet`")
        entries = content.get(key, [])
        if not isinstance(entries, list) or not all(isinstance(entry, kind) for entry in entries):
            raise _unreadable(path, f"holds something else under `{key}` than a list of {what}")
    return content


def write_datalist(dataset_dir: Path, cases: Mapping[str, dict], name: str) -> Path:
    """Write the datalist: labelled cases for training, patients without any under `testing` where they have a PET.

    A patient is in one list and one fold only: a new labelled case joins the earlier ones of its patient, and an
    unlabelled one is not listed where its patient is under `training` or `validation`.

    What people changed in an earlier datalist stays: the list a case is in, its fold, values and keys of their own, and
    entries of their own. They follow the scan where its case has another name now. A case that they took out stays out
    and is named under `left_out`, until its name is taken out there. What was changed or taken out is seen by the last
    import's log; the log of this one is to be written afterwards.

    Args:
        dataset_dir: folder of the cases.
        cases: case -> facts.
        name: name of the data set, for a new datalist.

    Returns:
        Its path.
    """
    earlier = read_earlier(dataset_dir)
    content = {"name": name, "importer": IMPORTER} | (earlier or {})
    rows = {} if earlier is None else read_log_rows(dataset_dir)
    written = {scan_of(row): case_item(case, row) for case, row in rows.items() if "listed" in row}
    items = {case: case_item(case, facts) for case, facts in cases.items() if "pet" in facts["source"]}
    entries = _entries_of(content, items)
    out = _taken_out(content.get(LEFT_OUT, []), items, entries, rows, written)
    merged = {
        case: merged_entry(item, entries[case][1], written.get(scan_of(item)), dataset_dir) if case in entries else item
        for case, item in items.items()
        if case not in out
    }
    others = _without(content, [entry for _, entry in entries.values()])
    lists = _lists(merged, entries, others)
    for part, entry in others:
        if not _is_imported(entry):
            lists[part].append(dict(entry))
    _complete_folds(lists["training"], others)
    content.pop(LEFT_OUT, None)
    path = dataset_dir / DATALIST_NAME
    write_json(path, content | lists | ({LEFT_OUT: sorted(out)} if out else {}))
    return path


def listed_cases(dataset_dir: Path, cases: Mapping[str, dict]) -> dict[str, str]:
    """Case -> the list of the datalist that it is in."""
    return {case: part for case, (part, _) in _entries_of(read_earlier(dataset_dir) or {}, cases).items()}


def _unreadable(path: Path, what: str) -> ValueError:
    return ValueError(f"{path} {what}. Correct it there, or move the file away: a new one is made then")


def _pairs(content: Mapping) -> Iterator[tuple[str, dict]]:
    return ((part, entry) for part in PARTS for entry in content.get(part, []))


def _entries_of(content: Mapping, cases: Mapping[str, Mapping]) -> dict[str, tuple[str, dict]]:
    """Case -> list and entry of a datalist: that of the same scan, else of the same name where its scan is unknown.

    An entry of another scan is not its own, though the name be the same: fold and label would be another examination's.
    """
    by_place, by_scan = {}, {}
    for part, entry in _pairs(content):
        by_place.setdefault((folder_of(entry), study_of(entry)), (part, entry))
        by_scan.setdefault(scan_of(entry), (part, entry))
    by_scan.pop(None, None)
    found = {}
    for case, facts in cases.items():
        # by the place first: people may have given the entry another patient
        mine = by_place.get((case, study_of(facts))) or by_scan.get(scan_of(facts)) or by_place.get((case, ""))
        if mine is not None:
            found[case] = mine
    return found


def _without(content: Mapping, entries: Iterable[dict]) -> list[tuple[str, dict]]:
    """Lists and entries of a datalist but for these."""
    taken = {id(entry) for entry in entries}
    return [(part, entry) for part, entry in _pairs(content) if id(entry) not in taken]


def _is_imported(entry: Mapping) -> bool:
    """Whether an entry is as an import makes it; one of a case that is not there is not kept."""
    return isinstance(entry.get("source"), dict) and entry.get("ct") == f"{folder_of(entry)}/{CT_FILE}"


def _taken_out(
    names: Sequence[str],
    items: Mapping[str, dict],
    entries: Mapping[str, tuple[str, dict]],
    rows: Mapping[str, dict],
    written: Mapping[tuple[str, str] | None, dict],
) -> set[str]:
    """Cases that people took out of the datalist, since the last import or before it.

    Args:
        names: those that are known already, by the datalist's `left_out`.
        items: case -> entry as this import makes it.
        entries: case -> list and entry, of the cases that are in the datalist.
        rows: case -> row of the last import's log.
        written: scans that it listed.
    """
    scans = {*written, *(scan_of(rows[name]) for name in names if name in rows)} - {None}
    out = {case for case, item in items.items() if scan_of(item) in scans or (case in names and case not in rows)}
    out -= entries.keys()
    if out:
        logger.warning(
            "not listed, because they were taken out of %s: %s; to have one back, take its name out of `%s` there",
            DATALIST_NAME, ", ".join(sorted(out)), LEFT_OUT,
        )  # fmt: skip
    here = {scan_of(item) for item in items.values()}
    # what cannot be imported just now stays out too; what has another name now is named by that one
    return out | {name for name in names if name not in items and scan_of(rows.get(name, {})) not in here}


def _lists(merged: Mapping[str, dict], entries: Mapping, others: Iterable[tuple[str, dict]]) -> dict[str, list[dict]]:
    """List -> its entries; patients stay together."""
    parts = {
        case: entries[case][0]
        for case, item in merged.items()
        # what was under `testing` because it had no label is new now that it has one
        if "label" in item and case in entries and (entries[case][0] != "testing" or "label" in entries[case][1])
    }
    part_of = {}
    for case, part in parts.items():
        part_of.setdefault(_patient(merged[case]), part)
    for part, entry in others:
        if part != "testing" or "label" in entry:
            part_of.setdefault(_patient(entry), part)
    for case, item in merged.items():
        if "label" in item and case not in parts:
            parts[case] = part_of.setdefault(_patient(item), "training")
    lists = {part: [] for part in PARTS}
    for case, item in merged.items():
        part = part_of.get(_patient(item), "testing")
        if "label" not in item and part != "testing":
            logger.warning("case %s has no label and is not listed: its patient is under `%s`", case, part)
            continue
        lists[parts.get(case, "testing")].append(item)
    return lists


def _complete_folds(training: list[dict], others: Iterable[tuple[str, dict]]) -> None:
    """Where people gave the earlier cases folds, new ones get their patient's, else that with the fewest cases."""
    folds = [item["fold"] for item in training if "fold" in item]
    if not folds:
        return
    known = [*training, *(entry for part, entry in others if part == "training")]
    of_patient = {_patient(item): item["fold"] for item in reversed(known) if "fold" in item}
    for item in training:
        if "fold" not in item:
            fewest = min(sorted(set(folds)), key=folds.count)
            item["fold"] = of_patient.setdefault(_patient(item), fewest)
            folds.append(item["fold"])


def _patient(entry: Mapping) -> str:
    """As the datalist's readers take it."""
    return str(entry.get("patient_id") or Path(str(entry.get("ct", ""))).parent.name)
