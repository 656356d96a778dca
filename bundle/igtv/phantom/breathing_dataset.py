"""Breathing put into a whole data set of real patients: cases made in parallel, folds by patient, a picture."""

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path

from ..configuration.whole_numbers import whole_number
from ..data.datalist import DATALIST_NAME, PARTS, Datalist, read_datalist
from ..data.datalist_item import DatalistItem
from ..data.patient_folds import deal_to_folds
from ..files import write_json
from ..inference.manifest import data_sha256
from ..processes import worker_count
from .breathing_case import breathing_case_name, make_breathing_case
from .breathing_settings import BREATHING_VERSION, BreathingSettings
from .making import claim_folder, in_parallel
from .overview import PICTURED_CASES, save_overview
from .recipe import OVERVIEW_FILE, differing_settings
from .source_case import BadSourceError, load_source
from .storage import FACTS_FILE, is_complete, load_case, save_case, save_volume

logger = logging.getLogger(__name__)

GTV_FILE = "gtv.nii.gz"
SOURCE_DIGEST = "source_sha256"
DEFAULT_NUM_FOLDS = 5


@dataclass(frozen=True)
class BreathingRecipe:
    """Everything a data set depends on.

    Args:
        source: name, licence and so on of the source data set, and the digest of its datalist.
        cases: the source's cases.
        cycles_per_case, num_folds, seed, settings: as for `simulate_breathing`.
    """

    source: dict
    cases: tuple[str, ...]
    cycles_per_case: int
    num_folds: int | None
    seed: int
    settings: BreathingSettings

    def to_dict(self) -> dict:
        """Plain values for JSON."""
        return {
            "breathing_version": BREATHING_VERSION,
            "source": self.source,
            "source_cases": list(self.cases),
            "cycles_per_case": self.cycles_per_case,
            "num_folds": self.num_folds,
            "seed": self.seed,
            **self.settings.to_dict(),
        }

    def differences(self, found: dict) -> list[str]:
        """Settings that differ from those of a data set that is there, as 'name: there X, asked Y'."""
        return differing_settings(self.to_dict(), found)


def simulate_breathing(
    source_dir: str | Path,
    dataset_dir: str | Path,
    source_datalist: str | Path | None = None,
    cycles_per_case: int = 1,
    num_folds: int | None = None,
    seed: int = 0,
    num_workers: int | None = None,
    overwrite: bool = False,
    skip_bad_cases: bool = False,
    progress: bool = True,
    **settings,
) -> Path:
    """Make IGTV cases out of PET/CT cases with a GTV, or finish an interrupted data set, or find that it is there.

    Args:
        source_dir: folder of the source data set.
        dataset_dir: folder to fill; a new or empty one, or one that holds the same data set.
        source_datalist: datalist of the source; None: `dataset.json` in `source_dir`.
        cycles_per_case: how many differently breathing cases are made of each source case; they share its
            `patient_id`, so that no split ever parts them.
        num_folds: None: patients stay in the list and fold where the source has them, and where it has neither a
            validation list nor folds, its training patients are dealt to five; a number: the patients of training
            and validation are pooled and dealt to so many folds. Patients of `testing` always stay there.
        seed: seed of the whole data set.
        num_workers: processes; None: one per usable processor; 0: this process.
        overwrite: replace a data set made with other settings. Anything else is never removed.
        skip_bad_cases: leave cases out that cannot be used, with a warning each, instead of an error.
        progress: show a progress bar.
        **settings: fields of `BreathingSettings`.

    Returns:
        Path of the datalist.

    Raises:
        FileNotFoundError: the source is not there.
        ValueError: a parameter is out of range; or there are bad cases, each named with its reason.
        TypeError: a setting has an unknown name.
        FileExistsError: `dataset_dir` holds something else.
    """
    if source_dir in (None, ""):
        raise ValueError("source_dir is not given: name the folder of the PET/CT cases with a GTV with --source_dir")
    chosen = BreathingSettings.from_mapping(settings)
    source = read_datalist(source_datalist or Path(source_dir) / DATALIST_NAME, source_dir)
    recipe = BreathingRecipe(
        describe_source(source.path),
        tuple(item.case for item in source.items),
        whole_number("cycles_per_case", cycles_per_case, 1),
        None if num_folds is None else whole_number("num_folds", num_folds, 2),
        whole_number("seed", seed, 0),
        chosen,
    )
    places, workers, folder = deal(source, recipe.num_folds, recipe.seed), worker_count(num_workers), Path(dataset_dir)
    if folder.resolve() == source.dataset_dir.resolve():
        raise ValueError(f"dataset_dir {folder} holds the source: give a folder of its own.")
    claim_folder(folder, recipe, overwrite)
    datalist = folder / DATALIST_NAME
    planned = [(item, cycle) for item in source.items for cycle in range(1, cycles_per_case + 1)]
    digests = {item.case: _digest(item) for item in source.items}
    missing = [(item, cycle) for item, cycle in planned if not _is_there(folder, item, cycle, digests[item.case])]
    if not missing and datalist.is_file():
        logger.info("The breathing patients in %s are already there: nothing to do.", folder)
        return datalist
    jobs = [(folder, item, recipe.seed, cycle, chosen, digests[item.case]) for item, cycle in missing]
    problems = in_parallel(_make_one, jobs, workers, "breathing", progress)
    named = {breathing_case_name(job[1].case, job[3]): problem for job, problem in zip(jobs, problems, strict=True)}
    bad = {name: problem for name, problem in named.items() if problem}
    _report_bad(bad, len(planned), skip_bad_cases)
    made = [(item, cycle) for item, cycle in planned if breathing_case_name(item.case, cycle) not in bad]
    pictured = [breathing_case_name(item.case, cycle) for item, cycle in made[:PICTURED_CASES]]
    save_overview(folder / OVERVIEW_FILE, [load_case(folder / name) for name in pictured])
    write_json(datalist, _datalist(folder, recipe, made, places, bad))
    logger.info("Made %d breathing cases in %s.", sum(problem is None for problem in problems), folder)
    return datalist


def describe_source(datalist: Path) -> dict:
    """Name, licence and texts of a source data set as its datalist states them, and a digest of the datalist."""
    text = datalist.read_bytes()
    content = json.loads(text)
    stated = {key: content[key] for key in ("name", "description", "licence", "reference") if content.get(key)}
    stated.setdefault("licence", "not stated by the source")
    return {**stated, "datalist_sha256": hashlib.sha256(text).hexdigest()}


def deal(source: Datalist, num_folds: int | None, seed: int) -> dict[str, tuple[str, int | None]]:
    """List and fold of every source case, by patient; see `num_folds` of `simulate_breathing`.

    Returns:
        Case -> (list of the datalist, fold or None).
    """
    pooled = num_folds is not None
    places = {item.case: (part, item.fold) for part in PARTS for item in getattr(source, part)}
    undivided = not source.has_folds and not source.validation and source.training
    if not pooled and not undivided:
        return places
    items = [*source.training, *(source.validation if pooled else ())]
    patients = sorted({item.patient for item in items})
    count = num_folds if pooled else min(DEFAULT_NUM_FOLDS, len(patients))
    if count > len(patients):
        raise ValueError(f"num_folds is {count}, but {source.path} has only {len(patients)} patient(s) to deal.")
    if count < 2:
        return places
    fold_of = deal_to_folds(patients, count, seed)
    return places | {item.case: ("training", fold_of[item.patient]) for item in items}


def _is_there(folder: Path, item: DatalistItem, cycle: int, digest: str | None) -> bool:
    """Whether the case was made, and of the images and the GTV that the source has now."""
    made = folder / breathing_case_name(item.case, cycle)
    if not is_complete(made) or not (made / GTV_FILE).is_file():
        return False
    facts = json.loads((made / FACTS_FILE).read_text(encoding="utf-8"))
    return facts.get(SOURCE_DIGEST) == digest


def _digest(item: DatalistItem) -> str | None:
    """SHA-256 of a source case; None where a file of it is missing, which the making reports."""
    case = item.as_case()
    if not all(Path(case[key]).is_file() for key in ("ct", "pet", "label") if key in case):
        return None
    return data_sha256([case])


def _make_one(
    folder: Path, item: DatalistItem, seed: int, cycle: int, settings: BreathingSettings, digest: str | None
) -> str | None:
    """Make and write one case; returns what is wrong with its source, None when all is well."""
    try:
        case, gtv = make_breathing_case(load_source(item), seed, cycle, settings)
    except BadSourceError as error:
        return str(error)
    case.metadata[SOURCE_DIGEST] = digest
    save_volume(folder / case.case_id / GTV_FILE, gtv, case.grid)
    save_case(folder / case.case_id, case)
    return None


def _report_bad(bad: dict[str, str], planned: int, skip_bad_cases: bool) -> None:
    if not bad:
        return
    listing = "\n".join(f"  {name}: {problem}" for name, problem in bad.items())
    if not skip_bad_cases:
        raise ValueError(
            f"breathing cannot be put into {len(bad)} of {planned} cases:\n{listing}\n"
            "Repair them, take them out of the datalist, or set skip_bad_cases to leave them out."
        )
    if len(bad) == planned:
        raise ValueError(f"breathing cannot be put into any of {planned} cases:\n{listing}")
    for name, problem in bad.items():
        logger.warning("case left out: %s: %s", name, problem)


def _datalist(folder: Path, recipe: BreathingRecipe, made, places: dict, bad: dict[str, str]) -> dict:
    """Decathlon-style datalist; paths relative to the folder, all cases of a patient under the source's name for it."""
    source_name = recipe.source.get("name", "real patients")
    lists: dict[str, list[dict]] = {part: [] for part in PARTS}
    for item, cycle in made:
        part, fold = places[item.case]
        lists[part].append(_item(folder, item, cycle) | ({} if fold is None else {"fold": fold}))
    return {
        "name": f"Breathing put into: {source_name}",
        "description": (
            f"Simulated breathing in real PET/CT ({source_name}): CT in HU, PET in SUVbw (g/ml), label the union of "
            "the tumour over all phases."
        ),
        "licence": recipe.source["licence"],
        "source": recipe.source,
        "task": "igtv",
        "simulation": recipe.to_dict(),
        "labels": {"0": "background", "1": "IGTV"},
        **{part: items for part, items in lists.items() if items},
        "left_out": bad,
    }


def _item(folder: Path, item: DatalistItem, cycle: int) -> dict:
    name = breathing_case_name(item.case, cycle)
    facts = json.loads((folder / name / FACTS_FILE).read_text(encoding="utf-8"))
    files = {key: f"{name}/{key}.nii.gz" for key in ("ct", "pet", "label", "gtv")}
    facts = {"patient_id": item.patient, "ct_kind": facts["ct_kind"], "label_kind": "igtv", "cut_by": facts["cut_by"]}
    return files | facts
