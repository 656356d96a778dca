"""The units of one data set: pre-trainings, candidates, arms, tests; what each is made of stands here."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..learning.work import CONFIGS_DIR
from ..training.checkpoint_keeper import BEST_NAME
from .data import BREATHING, Case, StudyData
from .masks import MASKS_FILE
from .plan import LONG, MOVED, SCRATCH, TRAINED, StudyPlan, split_arm
from .store import load_json
from .subsets import labelled_subset
from .units import Unit

CONFIGS_COPY = "configs"  # the study's own copy of the configs: what the bundle's become later changes no result
OVERLAY_KEYS = ("variant", "fusion", "sim", "sim_radius", "num_slices")


@dataclass(frozen=True)
class Cell:
    """One training or choice of the grid: an arm, with the number of labelled patients (0: none) and the seed."""

    arm: str
    size: int
    seed: int

    @property
    def name(self) -> str:
        return f"{self.arm}/n{self.size:02d}_seed{self.seed}"


class Branch:
    """Makes the units of Data A or Data B.

    Args:
        letter: "A" or "B".
        plan: of the study.
        data: its cases.
        folder: of the study, absolute.
        sizes: numbers of labelled patients.
        recipe: keys of train.json that all trainings of this data set share.
        fold: of a cross-validation, each of which has its folder, pre-trainings and tuning; None: there are none.
    """

    def __init__(
        self,
        letter: str,
        plan: StudyPlan,
        data: StudyData,
        folder: Path,
        sizes: Sequence[int],
        recipe: Mapping[str, Any],
        fold: int | None = None,
    ) -> None:
        self.home = letter if fold is None else f"{letter}/fold{fold}"

        self.letter, self.plan, self.data, self.folder = letter, plan, data, folder
        copied = folder / CONFIGS_COPY
        self.configs_dir = copied if copied.is_dir() else CONFIGS_DIR
        self.sizes, self.recipe = list(sizes), dict(recipe)

    def pretraining(self, architecture: str, seed: int, moved: bool = False) -> Unit:
        """Training on the GTV cases: of the main networks one per seed, of each other network the first seed's.

        Two networks of which each was pre-trained once cannot be told from two runs of the same network.

        Args:
            architecture: name of the network.
            seed: of the arm that starts from it.
            moved: with breathing put into the samples, so that what is learned is an IGTV.
        """
        plan = self.plan
        own = architecture in plan.main_architectures and seed in plan.seeds
        seed = seed if own else plan.seeds[0]
        return self._training(
            f"pretraining{'_moved' if moved else ''}/{architecture}/seed{seed}",
            architecture,
            plan.pretraining_steps,
            {**plan.pretraining_settings, **(plan.moved_settings if moved else {})},
            seed,
            self.data.pretraining,
            self.data.pretraining_validation,
            task="igtv" if moved else "gtv",
        )

    def pretrainings(self, architectures: Iterable[str] | None = None) -> list[Unit]:
        """Trainings on the GTV cases, of some architectures or of all, and those that their tuning starts from."""
        names = self.plan.architectures if architectures is None else architectures
        units = [
            self.pretraining(name, seed, init == MOVED)
            for name in names
            for init in self.plan.starts(name)
            if init not in SCRATCH
            for seed in self.plan.seeds
        ]
        units += [need for candidate in self.candidates(names) for need in self.candidate(*candidate).needs]
        return list({unit.name: unit for unit in units}.values())

    def arm(self, cell: Cell, settings: Mapping[str, Any]) -> Unit:
        """Training of a network arm on the labelled patients, with the settings that tuning chose."""
        cases = labelled_subset(self.data.pool, cell.size, cell.seed)
        return self._learning(f"arms/{cell.name}", cell, settings, cases, self.data.validation)

    def candidate(self, init: str, architecture: str, number: int) -> Unit:
        """Training with candidate settings of the tuning, to be judged by validation."""
        seed = self.plan.tuning["seed"]
        cell = Cell(f"{init}_{architecture}", self.plan.main_size, seed)
        cases = labelled_subset(self.data.pool, self.plan.main_size, seed)
        settings = self.plan.tuning[init][number]
        return self._learning(f"tuning/{cell.arm}/candidate{number}", cell, settings, cases, self.data.validation)

    def calibration_scratch(self, architecture: str, seed: int) -> Unit:
        """Training from scratch on the cases kept for the calibration, with the first candidate of the tuning."""
        cell = Cell(f"scratch_{architecture}", self.plan.main_size, seed)
        cases = self.data.calibration
        settings = next(iter(self.plan.tuning["scratch"]), {})
        return self._learning(f"calibration/{cell.name}", cell, settings, cases["training"], cases["validation"])

    def predict(self, architecture: str, seed: int, name: str, cases: Sequence[Case]) -> Unit:
        """Masks of the GTV model of a seed."""
        source = self.pretraining(architecture, seed)
        work = self._segmentation(source, architecture, cases)
        return Unit(f"{self.home}/{name}", "predict", work, (source,))

    def test(self, training: Unit, architecture: str, name: str, cases: Sequence[Case]) -> Unit:
        """A trained network on the cases to test on."""
        work = self._segmentation(training, architecture, cases)
        return Unit(f"{self.home}/{name}", "test_network", work, (training,))

    def test_masks(self, masks: Unit, name: str, cases: Sequence[Case]) -> Unit:
        """Masks made before, measured: the GTV model as it is."""
        work = {"masks": self._masks(masks), "cases": list(cases)}
        return Unit(f"{self.home}/{name}", "test_masks", work, (masks,))

    def test_gtv(self, name: str, cases: Sequence[Case]) -> Unit:
        """The tumour as the CT shows it, measured against the IGTV."""
        return Unit(f"{self.home}/{name}", "test_gtv", {"cases": list(cases)})

    def test_margin(self, known: Unit, masks: Unit, name: str, training: Sequence[Case], cases: Sequence[Case]) -> Unit:
        """GTV model plus margin, which is chosen on `training` (masks in `known`)."""
        work = {
            "training": list(training),
            "training_masks": self._masks(known),
            "cases": list(cases),
            "masks": self._masks(masks),
            "si_mm": list(self.plan.margins_si_mm),
            "in_plane_mm": list(self.plan.margins_in_plane_mm),
        }
        return Unit(f"{self.home}/{name}", "test_margin", work, (known, masks))

    def test_seeded_threshold(
        self, known: Unit, masks: Unit, name: str, training: Sequence[Case], cases: Sequence[Case]
    ) -> Unit:
        """PET threshold around the GTV model's mask, chosen on `training` (masks in `known`)."""
        work = {
            "training": list(training),
            "training_masks": self._masks(known),
            "cases": list(cases),
            "masks": self._masks(masks),
            "suv": list(self.plan.threshold_suv),
            "fractions": list(self.plan.threshold_fractions),
        }
        return Unit(f"{self.home}/{name}", "test_seeded_threshold", work, (known, masks))

    def test_threshold(self, name: str, training: Sequence[Case], cases: Sequence[Case]) -> Unit:
        """PET threshold chosen on `training`."""
        work = {
            "training": list(training),
            "cases": list(cases),
            "suv": list(self.plan.threshold_suv),
            "fractions": list(self.plan.threshold_fractions),
        }
        return Unit(f"{self.home}/{name}", "test_threshold", work)

    def network_cells(self) -> list[Cell]:
        """All trainings of the grid: every architecture at the main size, the main ones at the other sizes after it.

        Where a hypothesis names it, a main one is also trained from scratch for as many steps as pre-training and
        fine-tuning have together, at the main size: what pre-training adds must not be the length of training.
        """
        plan = self.plan
        named = plan.long_architectures()
        long = [Cell(f"{LONG}_{name}", plan.main_size, seed) for name in named for seed in plan.seeds]
        return long + [
            Cell(f"{init}_{architecture}", size, seed)
            for size in sorted(self.sizes, key=lambda size: size != plan.main_size)
            for init in TRAINED
            for architecture in self.plan.architectures
            if init in plan.starts(architecture)
            if size == self.plan.main_size or architecture in self.plan.main_architectures
            for seed in self.plan.seeds
        ]

    def candidates(self, architectures: Iterable[str] | None = None) -> list[tuple[str, str, int]]:
        """(init, architecture, number) of the trainings of the tuning; a single candidate needs none.

        Args:
            architectures: whose settings are wanted; None: all.
        """
        names = self.plan.architectures if architectures is None else architectures
        return [
            (init, architecture, number)
            for init in TRAINED
            for architecture in self.tuned_for(init, names)
            for number in range(len(self.plan.tuning[init]))
            if len(self.plan.tuning[init]) > 1
        ]

    def tuned_with(self, architecture: str) -> list[str]:
        """Architectures whose tuning settles an architecture's settings, all of them together.

        The main networks share their settings, chosen by the mean over them: a learning rate of its own would be a part
        of what one of them is found to be better by. A CNN has its own; the other ones of ours take those of the main.
        """
        foreign = [name for name, content in self.plan.architectures.items() if content.get("overlay") is not None]
        ours = [name for name in self.plan.main_architectures if name not in foreign]
        return [architecture] if architecture in foreign or not ours else ours

    def tuned_for(self, init: str, architectures: Iterable[str]) -> list[str]:
        """Architectures that are tuned for a start so that some architectures have their settings of it."""
        asked = [name for name in architectures if init in self.plan.starts(name)]
        return list(dict.fromkeys(tuned for name in asked for tuned in self.tuned_with(name)))

    @property
    def gtv_saw_the_pool(self) -> bool:
        """Whether patients of the pool pre-trained: what follows a GTV model's mask is then not chosen on them."""
        seen = {case["patient"] for case in self.data.pretraining}
        return any(case["patient"] in seen for case in self.data.pool)

    def known_cases(self, cell: Cell) -> list[Case]:
        """Cases that a margin or threshold around a GTV model's mask is chosen on: none that it was trained on.

        The labelled patients; where these pre-trained, the validating ones, whatever the number of labelled patients.
        """
        if self.gtv_saw_the_pool:
            return list(self.data.validation)
        return labelled_subset(self.data.pool, cell.size, cell.seed)

    @property
    def sizes_after_gtv(self) -> list[int]:
        """Numbers of labelled patients for arms that start from the GTV model's masks, see `known_cases`."""
        return [0] if self.gtv_saw_the_pool else self.sizes

    def simple_cells(self, arm: str) -> list[Cell]:
        """All choices of an arm without training on IGTV."""
        return [Cell(arm, size, seed) for size in self.sizes for seed in self.plan.seeds]

    def _learning(self, name: str, cell: Cell, settings: Mapping[str, Any], training, validation) -> Unit:
        init, architecture = split_arm(cell.arm)
        plan, scratch = self.plan, init in SCRATCH
        steps = {
            "pretrained": plan.finetuning_steps,
            MOVED: plan.finetuning_steps,
            "scratch": plan.scratch_steps,
            LONG: plan.pretraining_steps + plan.finetuning_steps,
        }
        own = plan.scratch_settings if scratch else plan.finetuning_settings
        return self._training(
            name,
            architecture,
            steps[init],
            {**own, **settings},
            cell.seed,
            training,
            validation,
            start=None if scratch else self.pretraining(architecture, cell.seed, init == MOVED),
        )

    def _training(
        self, name, architecture, steps, settings, seed, training, validation, task="igtv", start=None
    ) -> Unit:
        content = self.plan.architectures[architecture]
        other = _settings_of(content.get("overlay"), self.configs_dir)
        merged = {
            **_common_defaults(self.configs_dir),
            **self.recipe,
            **other,
            **content.get("network", {}),
            **settings,
        }
        if content.get("overlay") is not None:
            merged["frozen_epochs"] = 0  # the parts that can rest are those of our network
            if "sim_radius" in self.recipe:
                merged["train#dataset#end_radius"] = self.recipe["sim_radius"]  # slabs at the ends as for our network
        epochs, batch = int(merged["epochs"]), int(merged["batch_size"])
        per_epoch = max(1, round(steps / epochs))
        merged["samples_per_epoch"] = per_epoch * batch
        work = {
            "settings": merged,
            "seed": seed,
            "task": task,
            "trained_on": f"Data {self.letter} of the transfer study",
            "overlay": content.get("overlay"),
            "configs_dir": str(self.configs_dir),
            "model_path": None if start is None else str(self.folder / start.name / BEST_NAME),
            "steps": per_epoch * epochs,
            "training": list(training),
            "validation": list(validation),
        }
        return Unit(f"{self.home}/{name}", "train", work, () if start is None else (start,))

    def _segmentation(self, source: Unit, architecture: str, cases: Sequence[Case]) -> dict[str, Any]:
        settings = source.work["settings"]
        return {
            "model_path": str(self.folder / source.name / BEST_NAME),
            "overlay": self.plan.architectures[architecture].get("overlay"),
            "configs_dir": str(self.configs_dir),
            "window": [*settings.get("patch_size", (96, 96)), settings.get("num_slices", 32)],
            "cases": list(cases),
        }

    def _masks(self, unit: Unit) -> str:
        return str(self.folder / unit.name / MASKS_FILE)


def breathing_branches(plan: StudyPlan, parts: Sequence[StudyData], folder: Path) -> list[Branch]:
    """Branches of Data B: one per fold, a single one without folds.

    Args:
        plan: of the study.
        parts: data of each fold.
        folder: of the study, absolute.
    """
    recipe, followed = {**plan.recipe, **plan.breathing_recipe}, plan.for_breathing()
    folds = [None] if plan.breathing_folds is None else range(plan.breathing_folds)
    return [
        Branch(BREATHING, followed, data, folder, plan.breathing_sizes, recipe, fold)
        for fold, data in zip(folds, parts, strict=True)
    ]


def _settings_of(overlay: str | None, configs_dir: Path) -> dict[str, Any]:
    """What the config of another network sets by itself: the recipe is made for ours."""
    content = {} if overlay is None else load_json(configs_dir / overlay)
    return {key: value for key, value in content.items() if key in OVERLAY_KEYS}


def _common_defaults(configs_dir: Path) -> dict[str, Any]:
    """What `finetune.json` sets by itself, as `train.json` has it: nothing may differ between the arms unasked."""
    first, second = (load_json(configs_dir / name) for name in ("train.json", "finetune.json"))
    shared = [key for key, value in second.items() if key in first and key != "run" and not isinstance(value, str)]
    return {key: first[key] for key in shared}
