"""The data of the study: phantoms (Data A), and real patients with a breathing motion put in (Data B)."""

import gzip
import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..data.datalist import DATALIST_NAME, Datalist, read_datalist
from ..data.datalist_item import DatalistItem
from ..learning.work import CONFIGS_DIR, run_verb
from ..phantom.breathing_dataset import deal
from ..phantom.dataset import simulate
from .plan import StudyPlan

PHANTOM, BREATHING = "A", "B"
Case = dict[str, Any]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StudyData:
    """Cases of one data set, by what they are for; a case has `case`, `patient`, `ct`, `pet`, `label`.

    A breathing case also has `gtv`, the tumour as its CT shows it, and `cut_by`, the faces that cut its label.

    Attributes:
        pretraining, pretraining_validation: GTV contours.
        pool: IGTV contours that the labelled subsets are drawn from.
        validation: IGTV contours that choose settings.
        testing: IGTV contours that are measured on once.
        calibration: {"training", "validation", "testing"} of the calibration, Data A alone.
        licence: of the data, for the report.
    """

    pretraining: list[Case]
    pretraining_validation: list[Case]
    pool: list[Case]
    validation: list[Case]
    testing: list[Case]
    calibration: Mapping[str, list[Case]] = field(default_factory=dict)
    licence: str = ""

    def __post_init__(self) -> None:
        parts = (self.pretraining, self.pretraining_validation, self.pool, self.validation, *self.calibration.values())
        learned = {case["patient"] for part in parts for case in part}
        both = sorted(learned & {case["patient"] for case in self.testing})
        if both:
            raise ValueError(f"patients to test on are among those to learn from: {', '.join(both[:5])}")
        shared = {case["patient"] for case in self.pool} & {case["patient"] for case in self.validation}
        if shared:
            raise ValueError(f"patients of the pool validate too: {', '.join(sorted(shared)[:5])}")

    def digest(self) -> dict[str, str]:
        """SHA-256 of CT, PET and labels of each part: what is registered of the data."""
        names = ("pretraining", "pretraining_validation", "pool", "validation", "testing")
        parts = {name: getattr(self, name) for name in names}
        parts |= {f"calibration_{name}": cases for name, cases in self.calibration.items()}
        return {name: _images_digest(cases) for name, cases in parts.items()}


def phantom_data(plan: StudyPlan, folder: str | Path, num_workers: int | None = None) -> StudyData:
    """Make the phantoms of Data A below `folder`, or finish them, or find that they are there.

    Raises:
        FileExistsError: a folder holds a phantom made with other settings.
    """
    folder, seeds = Path(folder), plan.phantom_seeds
    gtv = {**plan.phantom_settings, **plan.pretraining_phantom_settings}

    def make(name: str, task: str, cases: int, settings: Mapping[str, Any]) -> list[Case]:
        home = folder / name
        datalist = simulate(
            home,
            task=task,
            num_cases=cases,
            num_folds=1,
            seed=seeds[name],
            num_workers=num_workers,
            **settings,
        )
        return [_case(item, f"{name}_") for item in read_datalist(datalist).training]

    learned = plan.pretraining_cases
    pretraining = make("pretraining", "gtv", learned + plan.pretraining_validation_cases, gtv)
    igtv = plan.phantom_settings
    calibration = make(
        "calibration",
        "igtv",
        plan.main_size + plan.validation_cases + plan.calibration_testing_cases,
        igtv,
    )
    first, second = plan.main_size, plan.main_size + plan.validation_cases
    return StudyData(
        pretraining=pretraining[:learned],
        pretraining_validation=pretraining[learned:],
        pool=make("pool", "igtv", plan.pool_cases, igtv),
        validation=make("validation", "igtv", plan.validation_cases, igtv),
        testing=make("testing", "igtv", plan.testing_cases, igtv),
        calibration={
            "training": calibration[:first],
            "validation": calibration[first:second],
            "testing": calibration[second:],
        },
    )


def breathing_data(
    plan: StudyPlan,
    folder: str | Path,
    patients_dir: str | Path,
    datalist: str | Path | None = None,
    phantom_pretraining: Sequence[Case] = (),
    configs_dir: Path = CONFIGS_DIR,
) -> list[StudyData]:
    """Make Data B below `folder`: IGTV cases out of the real CT, PET and GTV of `patients_dir`.

    Without `breathing_folds` the patients that are kept apart (the lists `validation` and `testing`, or fold 0) are
    tested on. With it, all patients are dealt to so many folds by the seed of `plan.breathing`, and each is tested on
    once, by what was learned from the other folds. Of the patients to learn from, `breathing_validation_patients` drawn
    by that seed validate and the rest is the pool, with one cycle each; the tested ones have every cycle. The static
    GTV contours of the pool pre-train.

    Returns:
        One entry per fold; a single one without folds.

    Raises:
        ValueError: the patients do not suffice, or the breathing cases do not name their patient.
    """
    folder, source_dir = Path(folder), Path(patients_dir).absolute()
    source_list = Path(datalist) if datalist else source_dir / DATALIST_NAME
    source = read_datalist(source_list, source_dir)
    run_verb(
        "simulating",
        ("simulate_breathing.json",),
        {
            **plan.breathing,
            "source_dir": str(source_dir),
            "source_datalist": str(source_list.absolute()),
            "dataset_dir": str(folder),
        },
        configs_dir,
    )
    made, facts = read_datalist(folder / DATALIST_NAME), _breathing_facts(folder / DATALIST_NAME)
    sources: dict[str, DatalistItem] = {}
    for item in _labelled(source):
        sources.setdefault(item.patient, item)  # the first case of a patient, as of the breathing ones below
    cycles: dict[str, list[Case]] = {}
    for item in made.items:
        if item.patient not in sources:
            raise ValueError(f"breathing case {item.case}: its patient {item.patient} is not in {source_list}")
        cycles.setdefault(item.patient, []).append(_case(item) | facts[Path(item.ct)])
    static = {patient: _case(item, "static_") for patient, item in sources.items()}
    parts = [
        _split(plan, cycles, static, tested, source_list) for tested in _tested_patients(plan, made, sorted(cycles))
    ]
    licence = _licence(folder / DATALIST_NAME)
    return [replace(part, pretraining=part.pretraining + list(phantom_pretraining), licence=licence) for part in parts]


def check_patients(plan: StudyPlan, patients_dir: str | Path, datalist: str | Path | None = None) -> None:
    """Refuse patients that cannot do for Data B before anything is made.

    Args:
        plan: of the study.
        patients_dir, datalist: see `breathing_data`.

    Raises:
        FileNotFoundError, ValueError: no such data set, or too few patients with a label.
    """
    source_list = Path(datalist) if datalist else Path(patients_dir) / DATALIST_NAME
    source = read_datalist(source_list, patients_dir)
    patients = sorted({item.patient for item in _labelled(source)})
    for tested in _tested_patients(plan, source, patients):
        _refuse_too_few(plan, len(patients) - len(tested), len(tested), source_list)


def _labelled(listing: Datalist) -> list[DatalistItem]:
    return [item for item in listing.items if item.label]


def _refuse_too_few(plan: StudyPlan, learned: int, tested: int, source_list: Path) -> None:
    count, needed = plan.breathing_validation_patients, max(plan.breathing_sizes)
    if learned < count + needed or not tested:
        raise ValueError(
            f"{source_list}: {learned} patients to learn from and {tested} to test on; {count} validate "
            f"(breathing_validation_patients), so up to {max(0, learned - count)} can be labelled, where "
            f"breathing_sizes asks for {needed}"
        )


def _tested_patients(plan: StudyPlan, made: Datalist, patients: Sequence[str]) -> list[set[str]]:
    """Patients to test on, of every fold."""
    folds = plan.breathing_folds
    if folds is None:
        return [_held_out(made, plan.breathing["seed"]) & set(patients)]
    order = np.random.default_rng([plan.breathing["seed"], folds]).permutation(len(patients))
    return [{patients[index] for index in order[fold::folds]} for fold in range(folds)]


def _split(
    plan: StudyPlan,
    cycles: Mapping[str, list[Case]],
    static: Mapping[str, Case],
    tested: set[str],
    source_list: Path,
) -> StudyData:
    """Data B with these patients to test on."""
    learned, count = sorted(set(cycles) - tested), plan.breathing_validation_patients
    _refuse_too_few(plan, len(learned), len(tested), source_list)
    order = np.random.default_rng(plan.breathing["seed"]).permutation(len(learned))
    validating = sorted(learned[index] for index in order[:count])
    pool = [patient for patient in learned if patient not in validating]
    return StudyData(
        pretraining=[static[patient] for patient in pool],
        pretraining_validation=[static[patient] for patient in validating],
        pool=[cycles[patient][0] for patient in pool],
        validation=[cycles[patient][0] for patient in validating],
        testing=[case for patient in sorted(tested) for case in cycles[patient]],
    )


def _held_out(listing: Datalist, seed: int) -> set[str]:
    """Patients kept apart by a datalist: its other lists, or fold 0, which a single list without folds is dealt to."""
    places = deal(listing, None, seed)
    items = {item.case: item for item in listing.items}
    apart = {case for case, (part, _) in places.items() if part != "training"}
    return {items[case].patient for case in apart or {case for case, (_, fold) in places.items() if fold == 0}}


def _licence(datalist: Path) -> str:
    content = json.loads(datalist.read_text(encoding="utf-8"))
    return ", ".join(str(content[key]) for key in ("name", "licence") if content.get(key))


def _breathing_facts(datalist: Path) -> dict[Path, Case]:
    """CT -> what the datalist of the breathing cases says beyond what a training needs."""
    content = json.loads(datalist.read_text(encoding="utf-8"))
    items = [item for part in ("training", "validation", "testing") for item in content.get(part, ())]
    folder = datalist.parent
    return {folder / item["ct"]: {"gtv": str(folder / item["gtv"]), "cut_by": item["cut_by"]} for item in items}


def _case(item: DatalistItem, prefix: str = "") -> Case:
    """Names of phantoms repeat from set to set, patients of a prefix do not."""
    return {
        "case": prefix + item.case,
        "patient": item.patient if not prefix or prefix == "static_" else prefix + item.patient,
        "ct": item.ct,
        "pet": item.pet,
        "label": item.label,
    }


def _images_digest(cases: Sequence[Mapping[str, str]]) -> str:
    """Content of the files, unpacked: the same whatever packed them."""
    digest = hashlib.sha256()
    for case in sorted(cases, key=lambda case: case["case"]):
        for key in ("ct", "pet", "label", "gtv"):
            if key in case:
                path = Path(case[key])
                content = path.read_bytes()
                content = gzip.decompress(content) if path.suffix == ".gz" else content
                digest.update(f"{case['case']} {key} {hashlib.sha256(content).hexdigest()}".encode())
    return digest.hexdigest()
