"""What an import leaves beside the cases: datalist, log, table; and what tells that a case is already there."""

import csv
import hashlib
import io
import json
import logging
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from pydicom.dataset import Dataset

from ..data.datalist import DATALIST_NAME, PARTS
from ..files import replacing, write_json
from .import_case import CT_FILE, LABEL_FILE, OVERLAY_FILE, PET_FILE, CaseWork
from .import_options import ImportOptions

logger = logging.getLogger(__name__)

CASE_FILE = "case.json"
HASHED_MODALITIES = ("RTSTRUCT", "SEG", "REG")
LOG_FILE = "import_log.json"
TABLE_FILE, PAGE_FILE = "cases.csv", "cases.html"
IMPORTER = "igtv.dicom"
OF_A_LABEL = ("label", "label_kind", "no_tumour")  # keys that go with a label that is there no more
# Raised when a case would come out otherwise than before: older imports are then made again.
IMPORT_VERSION = 3
COLUMNS = {
    "case": "case",
    "status": "status",
    "label_kind": "label",
    "label_ml": "label ml",
    "suv_max_in_label": "SUVmax in label",
    "ct_kind": "CT",
    "spacing_mm": "spacing mm",
    "words": "what was decided, or why it was left out",
}
_STYLE = (
    "body{font:14px sans-serif;margin:2em;max-width:1500px}td,th{padding:4px 10px;text-align:left;vertical-align:top;"
    "border-bottom:1px solid #ccc}img{width:520px}.failed td{background:#fdd}"
)


def fingerprint(work: CaseWork, options: ImportOptions) -> str:
    """Changes with the files of the patient, the options and the importer, and with nothing else."""
    content = {
        "version": IMPORT_VERSION,
        "study": work.study_uid,
        "options": options.for_patient(work.patient_id).changed(),
        "instances": sorted(
            f"{header.get('SOPInstanceUID')} {_content(one.modality, path, header)}"
            for one in work.series
            for path, header in zip(one.files, one.headers, strict=True)
        ),
        "damaged": sorted(file.words for file in work.damaged),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _content(modality: str, path: Path, header: Dataset) -> str:
    """What changes where an object is exported anew under its old UID: of contours and registrations every byte, of
    images the size, and of a PET what SUV is made of; all bytes of all images would take as long as the import.
    """
    try:
        if modality in HASHED_MODALITIES:
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        size = path.stat().st_size
    except OSError as error:  # the import itself will say so, for this case only
        return type(error).__name__
    if modality != "PT":
        return str(size)
    kept = header.to_json(suppress_invalid_tags=True)
    return f"{size} {hashlib.sha256(kept.encode()).hexdigest()}"


def read_case(folder: Path) -> dict | None:
    """Facts of a finished case, None where the folder is none."""
    try:
        facts = json.loads((folder / CASE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) and facts.get("importer") == IMPORTER and _is_whole(folder, facts) else None


def read_cases(dataset_dir: Path) -> dict[str, dict]:
    """Case -> facts of all finished cases of a folder, those of earlier imports among them."""
    folders = sorted(entry for entry in dataset_dir.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    cases = {folder.name: read_case(folder) for folder in folders}
    return {name: facts for name, facts in cases.items() if facts is not None}


def scan_of(facts: Mapping) -> tuple[str, str] | None:
    """Patient and PET series of a case's facts or its entry in the datalist, None where they name no PET."""
    source = facts.get("source")
    pet = source.get("pet") if isinstance(source, dict) else None
    return (str(facts.get("patient_id")), str(pet.get("series_uid"))) if isinstance(pet, dict) else None


def write_datalist(dataset_dir: Path, cases: Mapping[str, dict], name: str) -> Path:
    """Write the datalist: labelled cases for training, patients without any under `testing` where they have a PET.

    A patient is in one list only: a new labelled case joins the earlier ones of its patient, and an unlabelled one is
    not listed where its patient is under `training` or `validation`.

    What people changed in an earlier datalist stays: the list a case is in, its fold, and keys of their own. They
    follow the scan where its case has another name now.

    Args:
        dataset_dir: folder of the cases.
        cases: case -> facts.
        name: name of the data set, for a new datalist.

    Returns:
        Its path.
    """
    path = dataset_dir / DATALIST_NAME
    content = {"name": name, "importer": IMPORTER}
    if path.is_file():
        content |= json.loads(path.read_text(encoding="utf-8"))
    items = {case: _item(case, facts) for case, facts in cases.items() if "pet" in facts["source"]}
    earlier = _earlier_entries(content, items)
    parts = {
        case: earlier[case][0]
        for case, item in items.items()
        # what was under `testing` because it had no label is new now that it has one
        if "label" in item and case in earlier and (earlier[case][0] != "testing" or "label" in earlier[case][1])
    }
    part_of = {}
    for case, part in parts.items():
        part_of.setdefault(items[case]["patient_id"], part)
    for case, item in items.items():
        if "label" in item and case not in parts:
            parts[case] = part_of.setdefault(item["patient_id"], "training")
    lists = {part: [] for part in PARTS}
    for case, item in items.items():
        part = parts.get(case, "testing")
        if "label" not in item and part_of.get(item["patient_id"], "testing") != "testing":
            part = part_of[item["patient_id"]]
            logger.warning("case %s has no label and is not listed: its patient is under `%s`", case, part)
            continue
        before = earlier.get(case, ("", {}))[1]
        kept = before if "label" in item else {key: before[key] for key in before if key not in OF_A_LABEL}
        lists[part].append({**kept, **item})
    _complete_folds(lists["training"])
    write_json(path, content | lists)
    return path


def write_log(dataset_dir: Path, rows: Sequence[dict], problems: Sequence[dict], options: ImportOptions) -> None:
    """Write `import_log.json`: every case with its decisions or the reason it was left out, and unusable files.

    Args:
        dataset_dir: folder of the cases.
        rows: one per case: `case`, `status` ("imported", "already there", "failed"), and facts or `error`.
        problems: `file` and `reason` of files that cannot be used.
        options: of this import.
    """
    counts = {
        status: sum(row["status"] == status for row in rows) for status in ("imported", "already there", "failed")
    }
    log = {"importer": IMPORTER, "version": IMPORT_VERSION, "options": options.changed(), "counts": counts}
    write_json(dataset_dir / LOG_FILE, log | {"cases": list(rows), "unusable_files": list(problems)})


def write_tables(dataset_dir: Path, rows: Sequence[dict]) -> None:
    """Write `cases.csv`, and `cases.html` with the pictures: one look per case."""
    table = [{key: _cell(row, key) for key in COLUMNS} for row in rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(table)
    with replacing(dataset_dir / TABLE_FILE) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
    heads = "".join(f"<th>{escape(title)}</th>" for title in (*COLUMNS.values(), "picture"))
    body = "".join(_html_row(dataset_dir, row, cells) for row, cells in zip(rows, table, strict=True))
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Imported cases</title><style>{_STYLE}</style>'
        f"<h1>Imported cases</h1><p>Look at every picture: right patient, PET on CT, label on the tumour?</p>"
        f"<table><tr>{heads}</tr>{body}</table></html>\n"
    )
    with replacing(dataset_dir / PAGE_FILE) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _is_whole(folder: Path, facts: dict) -> bool:
    files = [CT_FILE, OVERLAY_FILE]
    files += [PET_FILE] if "pet" in facts["source"] else []
    files += [LABEL_FILE] if "label" in facts["source"] else []
    return all((folder / name).is_file() for name in files)


def _item(case: str, facts: dict) -> dict:
    item = {"case": case, "ct": f"{case}/{CT_FILE}", "pet": f"{case}/{PET_FILE}"}
    if "label" in facts["source"]:
        item |= {"label": f"{case}/{LABEL_FILE}", "label_kind": facts["label_kind"]}
    return item | {"patient_id": facts["patient_id"], "ct_kind": facts["ct_kind"], "source": facts["source"]}


def _earlier_entries(content: Mapping, items: Mapping[str, dict]) -> dict[str, tuple[str, dict]]:
    """Case -> list and entry of an earlier datalist: that of the same scan, else that of the same name."""
    by_case, by_scan = {}, {}
    for part in PARTS:
        for entry in content.get(part, []):
            by_case[str(entry.get("ct", "")).split("/")[0]] = (part, entry)
            by_scan.setdefault(scan_of(entry), (part, entry))
    moved = {scan_of(item) for item in items.values()} & set(by_scan)
    earlier = {}
    for case, item in items.items():
        scan, named = scan_of(item), by_case.get(case)
        if scan in by_scan and (named is None or scan_of(named[1]) != scan):
            earlier[case] = by_scan[scan]
        elif named is not None and scan_of(named[1]) not in moved - {scan}:
            earlier[case] = named
    return earlier


def _complete_folds(training: list[dict]) -> None:
    """Where people gave the earlier cases folds, new ones get the fold with the fewest; patients stay together."""
    folds = [item["fold"] for item in training if "fold" in item]
    if not folds:
        return
    of_patient = {item["patient_id"]: item["fold"] for item in training if "fold" in item}
    for item in training:
        if "fold" not in item:
            fewest = min(sorted(set(folds)), key=folds.count)
            item["fold"] = of_patient.setdefault(item["patient_id"], fewest)
            folds.append(item["fold"])


def _cell(row: dict, key: str) -> str:
    if key == "words":
        return row.get("error") or "; ".join(row.get("decisions", ()))
    value = row.get(key, "")
    return " x ".join(map(str, value)) if isinstance(value, list) else str(value if value is not None else "")


def _html_row(dataset_dir: Path, row: dict, cells: dict) -> str:
    picture = f"{row['case']}/{OVERLAY_FILE}"
    shown = row["status"] != "failed" and (dataset_dir / picture).is_file()
    link = f'<a href="{escape(picture)}"><img src="{escape(picture)}" alt=""></a>' if shown else ""
    data = "".join(f"<td>{escape(value)}</td>" for value in cells.values())
    return f'<tr class="{escape(row["status"]).replace(" ", "-")}">{data}<td>{link}</td></tr>'
