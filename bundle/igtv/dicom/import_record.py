"""What an import leaves beside the cases: log and table; and what tells that a case is already there."""

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from pydicom.dataset import Dataset

from ..files import replacing, write_json
from .import_case import CT_FILE, LABEL_FILE, OVERLAY_FILE, PET_FILE, CaseWork
from .import_options import ImportOptions

CASE_FILE = "case.json"
HASHED_MODALITIES = ("RTSTRUCT", "SEG", "REG")
LOG_FILE = "import_log.json"
TABLE_FILE, PAGE_FILE = "cases.csv", "cases.html"
IMPORTER = "igtv.dicom"
# Raised when a case would come out otherwise than before: older imports are then made again.
IMPORT_VERSION = 4
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
    facts = read_facts(folder)
    return facts if facts is not None and _is_whole(folder, facts) else None


def read_cases(dataset_dir: Path) -> dict[str, dict]:
    """Case -> facts of all finished cases of a folder, those of earlier imports among them."""
    return {name: facts for name, facts in read_all_facts(dataset_dir).items() if _is_whole(dataset_dir / name, facts)}


def read_all_facts(dataset_dir: Path) -> dict[str, dict]:
    """Case -> facts of all cases that an import made in a folder, of those too from which somebody took a file."""
    folders = sorted(entry for entry in dataset_dir.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    cases = {folder.name: read_facts(folder) for folder in folders}
    return {name: facts for name, facts in cases.items() if facts is not None}


def read_facts(folder: Path) -> dict | None:
    """Facts of a case that an import made, whether or not all of its files are still there."""
    try:
        facts = json.loads((folder / CASE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) and facts.get("importer") == IMPORTER else None


def study_of(facts: Mapping) -> str:
    """Study of the PET (without one: its series) of a case's facts or its entry in the datalist; "" without PET."""
    source = facts.get("source")
    pet = source.get("pet") if isinstance(source, dict) else None
    return str(pet.get("study_uid") or pet.get("series_uid") or "") if isinstance(pet, dict) else ""


def scan_of(facts: Mapping) -> tuple[str, str] | None:
    """Patient and `study_of`: what one case is made of, whichever PET of it is taken; None where there is no PET."""
    study = study_of(facts)
    return (str(facts.get("patient_id")), study) if study else None


def write_log(dataset_dir: Path, rows: Sequence[dict], problems: Sequence[dict], options: ImportOptions) -> None:
    """Write `import_log.json`: every case with its decisions or the reason it was left out, and unusable files.

    Args:
        dataset_dir: folder of the cases.
        rows: one per case: `case`, `status` ("imported", "already there", "failed"), and facts or `error`; `listed`,
            the list of the datalist that a case is in, where it is in one.
        problems: `file` and `reason` of files that cannot be used.
        options: of this import.
    """
    counts = {
        status: sum(row["status"] == status for row in rows) for status in ("imported", "already there", "failed")
    }
    log = {"importer": IMPORTER, "version": IMPORT_VERSION, "options": options.changed(), "counts": counts}
    write_json(dataset_dir / LOG_FILE, log | {"cases": list(rows), "unusable_files": list(problems)})


def read_log_rows(dataset_dir: Path) -> dict[str, dict]:
    """Case -> row of the last import's log, of cases that it did not leave out; empty where there is no log."""
    try:
        rows = json.loads((dataset_dir / LOG_FILE).read_text(encoding="utf-8"))["cases"]
        return {row["case"]: row for row in rows if row["status"] != "failed"}
    except (OSError, ValueError, LookupError, TypeError):
        return {}


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
