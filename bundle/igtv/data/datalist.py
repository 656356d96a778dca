"""Reads the datalist JSON and splits it by patient.

The file follows the decathlon style: lists `training`, `validation` and `testing` of items `{"ct", "pet", "label",
"no_tumour", "patient_id", "fold", "ct_kind", "label_kind"}`, of which only `ct` and `pet` must be there.
MONAI's own `load_decathlon_datalist` and `datafold_read` join the data folder to every string value (a `patient_id`
becomes a path) and know nothing of patients, hence this reader. `bundle/docs/data.md` describes the format for users.
"""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from .datalist_item import DatalistItem, read_item
from .patient_folds import deal_to_folds

PARTS = ("training", "validation", "testing")
DATALIST_NAME = "dataset.json"  # in the folder of a data set


@dataclass(frozen=True)
class Datalist:
    """A validated datalist: the file it came from, the folder its paths were resolved against, and its lists."""

    path: Path
    dataset_dir: Path
    training: tuple[DatalistItem, ...]
    validation: tuple[DatalistItem, ...]
    testing: tuple[DatalistItem, ...]

    @property
    def items(self) -> tuple[DatalistItem, ...]:
        """The items of all lists, in the order of `PARTS`."""
        return self.training + self.validation + self.testing

    @property
    def has_folds(self) -> bool:
        return any(item.fold is not None for item in self.training)


def read_datalist(datalist: str | Path | None, dataset_dir: str | Path | None = None) -> Datalist:
    """Read and validate a datalist JSON; whether the files exist and hold what they should is `checks.check_cases`.

    Args:
        datalist: path of the JSON file; None: `dataset.json` in `dataset_dir`.
        dataset_dir: folder that relative paths in the file refer to; default: the folder of the file.

    Returns:
        The datalist with absolute paths.

    Raises:
        FileNotFoundError: the file or `dataset_dir` does not exist.
        ValueError: neither is given, not JSON, or an item breaks the format; the text names file, list, entry and key.
    """
    path = datalist_path(datalist, dataset_dir).absolute()
    if not path.is_file():
        raise FileNotFoundError(f"datalist {path} does not exist: give the path of a datalist JSON file")
    folder = path.parent if dataset_dir is None else Path(dataset_dir).absolute()
    if not folder.is_dir():
        raise FileNotFoundError(f"dataset_dir {folder} does not exist: give the folder the datalist's paths refer to")
    lists = _load_json_lists(path)
    counts = Counter(
        entry["patient_id"]
        for part in PARTS
        for entry in lists[part]
        if isinstance(entry, dict) and isinstance(entry.get("patient_id"), str)
    )
    seen: Counter[str] = Counter()
    items: dict[str, tuple[DatalistItem, ...]] = {}
    for part in PARTS:
        items[part] = tuple(
            read_item(entry, folder, f"{path}: {part}[{index}]", counts, seen)
            for index, entry in enumerate(lists[part])
        )
    _check_unique(path, items)
    _check_patients(path, items)
    return Datalist(path, folder, **items)


def datalist_path(datalist: str | Path | None, dataset_dir: str | Path | None) -> Path:
    """The datalist's file: the one given, else `dataset.json` in the folder of the data.

    Raises:
        ValueError: neither is given.
    """
    if datalist is None and dataset_dir is None:
        raise ValueError("neither datalist nor dataset_dir is given: give the file, or the folder that holds it")
    return Path(dataset_dir) / DATALIST_NAME if datalist is None else Path(datalist)


def split_cases(
    datalist: Datalist,
    fold: int | None,
    part: str,
    num_folds: int = 5,
    seed: int = 0,
    cross_validation: bool = False,
) -> list[dict[str, str]]:
    """Cases of one part of the datalist; the cases of one patient never cross parts.

    The first rule that fits decides:
    1. `part="testing"`: the `testing` list.
    2. `cross_validation=True`: `training` and `validation` are pooled, folds and lists in the file are ignored, and
       the patients are dealt to `num_folds` folds by `seed`.
    3. Items with `fold`: fold `fold` validates, the rest trains.
    4. A `validation` list: the lists are used as they are; `fold` must be 0, -1 or None.
    5. Only a `training` list: its patients are dealt to `num_folds` folds by `seed`.

    Args:
        datalist: as `read_datalist` gives it.
        fold: validation fold, from 0; None and -1 mean 0.
        part: "training", "validation" or "testing".
        num_folds: folds of rules 2 and 5.
        seed: seed of rules 2 and 5; the same seed gives the same folds whatever the order of the file.
        cross_validation: see rule 2.

    Returns:
        Cases with the keys of `DatalistItem.as_case`. Empty where the file has no list for the part (such as no
        `testing`).

    Raises:
        ValueError: unknown part or fold, fewer patients than folds, or a fold that leaves nothing for the part.
    """
    if part not in PARTS:
        raise ValueError(f"part={part!r} is unknown: choose one of {', '.join(PARTS)}")
    fold = 0 if fold is None or fold == -1 else fold
    if part == "testing" or not (datalist.training or datalist.validation):
        chosen = datalist.testing if part == "testing" else ()
    elif not cross_validation and not datalist.has_folds and datalist.validation:
        if fold != 0:
            raise ValueError(
                f"fold={fold}, but {datalist.path} gives `training` and `validation` lists without folds, so there is "
                "only fold 0: add `fold` to its items or set cross_validation to pool both lists into folds"
            )
        chosen = getattr(datalist, part)
    else:
        folds = _folds(datalist, num_folds, seed, cross_validation)
        known = sorted({number for _, number in folds})
        if fold not in known:
            raise ValueError(f"fold={fold} is not among the folds {known} of {datalist.path}")
        chosen = [item for item, number in folds if (number == fold) == (part == "validation")]
        if not chosen:
            raise ValueError(f"{datalist.path} leaves no case for {part} with fold={fold}")
    return [item.as_case() for item in chosen]


def _folds(
    datalist: Datalist, num_folds: int, seed: int, cross_validation: bool
) -> list[tuple[DatalistItem, int | None]]:
    """Every item that takes part, with its fold."""
    if datalist.has_folds and not cross_validation:
        return [(item, item.fold) for item in datalist.training]
    items = [*datalist.training, *datalist.validation] if cross_validation else list(datalist.training)
    patients = sorted({item.patient for item in items})
    if num_folds < 2 or len(patients) < num_folds:
        raise ValueError(
            f"num_folds={num_folds} does not fit {len(patients)} patient(s) of {datalist.path}: "
            "at least 2 folds and one patient per fold are needed"
        )
    fold_of = deal_to_folds(patients, num_folds, seed)
    return [(item, fold_of[item.patient]) for item in items]


def _load_json_lists(path: Path) -> dict[str, list]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"datalist {path} is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"datalist {path} holds a {type(content).__name__}: an object with `training` is expected")
    lists = {}
    for part in PARTS:
        lists[part] = content.get(part, [])
        if not isinstance(lists[part], list):
            raise ValueError(f"{path}: `{part}` is a {type(lists[part]).__name__}: a list of items is expected")
    if not any(lists.values()):
        raise ValueError(
            f"datalist {path} has no case: it needs at least one of the lists {', '.join(PARTS)} "
            f"(keys found: {', '.join(content) or 'none'})"
        )
    return lists


def _check_unique(path: Path, items: dict[str, tuple[DatalistItem, ...]]) -> None:
    """No case name and no CT/PET pair twice."""
    by_case: dict[str, str] = {}
    by_files: dict[tuple[str, str], str] = {}
    for part in PARTS:
        for index, item in enumerate(items[part]):
            where = f"{part}[{index}]"
            files = (item.ct, item.pet)
            if files in by_files:
                raise ValueError(f"{path}: {where} and {by_files[files]} name the same CT and PET ({item.ct})")
            if item.case in by_case:
                raise ValueError(
                    f"{path}: {where} and {by_case[item.case]} are both called {item.case!r} "
                    "(`patient_id`, or the folder of the CT): give each patient a `patient_id` of its own"
                )
            by_files[files] = by_case[item.case] = where


def _check_patients(path: Path, items: dict[str, tuple[DatalistItem, ...]]) -> None:
    """No patient in two lists or two folds; folds for all items or for none."""
    part_of: dict[str, str] = {}
    fold_of: dict[str, int | None] = {}
    for part in PARTS:
        for index, item in enumerate(items[part]):
            if part_of.setdefault(item.patient, part) != part:
                raise ValueError(
                    f"{path}: patient {item.patient!r} is in `{part_of[item.patient]}` and in `{part}`: "
                    "a patient may be in one list only"
                )
            if part == "training" and fold_of.setdefault(item.patient, item.fold) != item.fold:
                raise ValueError(
                    f"{path}: {part}[{index}] puts patient {item.patient!r} in fold {item.fold}, an earlier entry in "
                    f"fold {fold_of[item.patient]}: a patient may be in one fold only"
                )
    without = [index for index, item in enumerate(items["training"]) if item.fold is None]
    if without and len(without) < len(items["training"]):
        raise ValueError(f"{path}: training[{without[0]}] has no `fold`, other items have one: give all or none a fold")
    if items["training"] and not without and items["validation"]:
        raise ValueError(
            f"{path}: the items of `training` have folds and there is a `validation` list: keep one of the two"
        )
