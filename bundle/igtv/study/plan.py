"""What a study does: every choice as one field, checked before anything is computed."""

import difflib
import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from ..configuration.whole_numbers import whole_number
from ..learning.work import CONFIGS_DIR
from ..phantom.settings import PhantomSettings
from .outcome import OUTCOMES, SEEDLESS

SCALES = ("full", "small")
# what the study itself sets in a training, so that no key may
OWN_SETTINGS = frozenset(
    {
        *("output_dir", "model_path", "dataset_dir", "datalist", "resume", "seed", "device", "task", "trained_on"),
        *("samples_per_epoch", "num_pictures", "use_tensorboard"),
    }
)
OWN_BREATHING = frozenset({"source_dir", "source_datalist", "dataset_dir", "num_folds"})
# what the calibration expects: (name in `expected`, arm, outcome)
MEASURES = (
    ("zero_shot_dice", "zero_shot", "dice"),
    ("zero_shot_ends", "zero_shot", "dice_ends"),
    ("scratch_dice", "scratch", "dice"),
)
RULE_KEYS = frozenset({"name", "question", "metric", "first", "second", "above"})
MORE_RULE_KEYS = frozenset({"control", "hoped", "no_loss_metric", "no_loss_margin"})
LONG = "scratch_long"  # from scratch, for the steps of pre-training and fine-tuning together
RULE_ARMS = ("first", "second", "control")
SCRATCH = ("scratch", LONG)
MOVED = "moved"  # as "pretrained", from a pre-training on GTV cases into whose samples breathing is put
MOVED_ZERO_SHOT = "moved_zero_shot"
TRAINED = ("scratch", "pretrained", MOVED)
AFTER_GTV = ("zero_shot", MOVED_ZERO_SHOT, "margin", "seeded_threshold")
UNTRAINED = (*AFTER_GTV, "threshold", "perfect_gtv")


@dataclass(frozen=True)
class StudyPlan:
    """The choices that matter for the result; machine and folders are not among them.

    Attributes:
        scale: "full" or "small"; what it changes stands in the config.
        architectures: name -> {"network": keys of train.json, "overlay": config file of another network or None}.
        main_architectures: trained at every size, the others at `main_size` only.
        sizes, breathing_sizes: numbers of labelled patients, Data A and Data B.
        main_size: where the full grid runs and the questions are decided.
        seeds: one training per arm, size and seed; a seed draws the labelled patients too, alike for all arms, and the
            main architectures are pre-trained with each.
        phantom_seeds: seed of each phantom data set, no two alike.
        phantom_settings, pretraining_phantom_settings: changes of the generator, of IGTV and of GTV cases.
        pretraining_cases, pretraining_validation_cases, pool_cases, validation_cases, testing_cases,
            calibration_testing_cases: sizes of the sets of Data A; the labelled patients are drawn from the pool, so
            that seeds have others also where a study has the main size alone.
        breathing: keys of `simulate_breathing.json` for Data B, `seed` and `cycles_per_case` among them.
        breathing_validation_patients: of the patients to learn from, these validate.
        breathing_folds: Data B by cross-validation with so many folds; None: tested on the patients kept apart.
        breathing_architectures: networks of Data B; the others are left out there.
        breathing_pretraining_steps: as `pretraining_steps`, for Data B, which has fewer GTV cases.
        breathing_note: what every table of Data B has to say beside it.
        breathing_with_phantom: pre-train on the phantom's GTV cases too in Data B.
        recipe: keys of train.json that all trainings of the study share; `breathing_recipe` what differs in Data B.
        pretraining_steps, finetuning_steps, scratch_steps: optimisation steps of a training.
        pretraining_settings, moved_settings, finetuning_settings, scratch_settings: keys of one kind of training alone;
            those of `moved` come on top of those of the pre-training.
        tuning: {"seed", "scratch": [settings, ...], "pretrained": [...], "moved": [...]}: candidates, chosen by
            validation Dice.
        threshold_suv, threshold_fractions: PET thresholds to choose from, SUV and fractions of the maximum.
        margins_si_mm, margins_in_plane_mm: margins around the GTV to choose from.
        expected: of the calibration: measure -> [lowest, highest].
        hypotheses: rules of decision, see `decisions.decide`.
        resamples: of the bootstrap.
    """

    scale: str
    architectures: Mapping[str, Mapping[str, Any]]
    main_architectures: Sequence[str]
    sizes: Sequence[int]
    breathing_sizes: Sequence[int]
    main_size: int
    seeds: Sequence[int]
    phantom_seeds: Mapping[str, int]
    phantom_settings: Mapping[str, Any]
    pretraining_phantom_settings: Mapping[str, Any]
    pretraining_cases: int
    pretraining_validation_cases: int
    pool_cases: int
    validation_cases: int
    testing_cases: int
    calibration_testing_cases: int
    breathing: Mapping[str, Any]
    breathing_validation_patients: int
    breathing_folds: int | None
    breathing_architectures: Sequence[str]
    breathing_pretraining_steps: int
    breathing_note: str
    breathing_with_phantom: bool
    recipe: Mapping[str, Any]
    breathing_recipe: Mapping[str, Any]
    pretraining_steps: int
    finetuning_steps: int
    scratch_steps: int
    pretraining_settings: Mapping[str, Any]
    moved_settings: Mapping[str, Any]
    finetuning_settings: Mapping[str, Any]
    scratch_settings: Mapping[str, Any]
    tuning: Mapping[str, Any]
    threshold_suv: Sequence[float]
    threshold_fractions: Sequence[float]
    margins_si_mm: Sequence[float]
    margins_in_plane_mm: Sequence[float]
    expected: Mapping[str, Sequence[float]]
    hypotheses: Sequence[Mapping[str, Any]]
    resamples: int

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise ValueError(f"scale={self.scale!r}: choose one of {', '.join(SCALES)}")
        for name in ("main_architectures", "threshold_suv", "threshold_fractions"):
            _check_list(name, getattr(self, name))
        for name in ("margins_si_mm", "margins_in_plane_mm"):
            _check_list(name, getattr(self, name))
        for name, lowest in (("sizes", 1), ("breathing_sizes", 1), ("seeds", 0)):
            _check_list(name, getattr(self, name))
            for value in getattr(self, name):
                whole_number(name, value, lowest)
        for name in ("sizes", "breathing_sizes"):
            if self.main_size not in getattr(self, name):
                raise ValueError(f"main_size={self.main_size} is not among {name}={list(getattr(self, name))}")
        if self.breathing_folds is not None:
            whole_number("breathing_folds", self.breathing_folds, 2)
        for name in ("pretraining", "finetuning", "scratch", "breathing_pretraining"):
            whole_number(f"{name}_steps", getattr(self, f"{name}_steps"), int(self.recipe.get("epochs", 1)))
        for name in ("pretraining_cases", "pretraining_validation_cases", "validation_cases", "testing_cases"):
            whole_number(name, getattr(self, name), 1)
        for name in ("calibration_testing_cases", "breathing_validation_patients", "resamples"):
            whole_number(name, getattr(self, name), 1)
        if self.pool_cases < max(self.sizes):
            raise ValueError(f"pool_cases={self.pool_cases}: sizes={list(self.sizes)} need {max(self.sizes)} at least")
        if self.scratch_steps < self.finetuning_steps:
            raise ValueError(
                f"scratch_steps={self.scratch_steps} is less than finetuning_steps={self.finetuning_steps}: training "
                "from scratch must not get less than the fine-tuning that it is compared with"
            )
        self._check_architectures()
        self._check_seeds()
        self._check_settings()
        self._check_rules()
        self._check_generators()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as they are registered."""
        return json.loads(json.dumps(asdict(self)))

    def arms(self) -> list[str]:
        """Names of all arms, simple ones first."""
        names = ["threshold", "perfect_gtv"]
        names += [f"{kind}_{name}" for kind in AFTER_GTV for name in self.main_architectures]
        names += [f"{kind}_{name}" for kind in TRAINED for name in self.architectures if kind in self.starts(name)]
        return names + [f"{LONG}_{name}" for name in self.main_architectures]

    def starts(self, architecture: str) -> list[str]:
        """How an architecture is trained, of `TRAINED`: only the main ones also from the GTV cases with breathing."""
        return [init for init in TRAINED if init != MOVED or architecture in self.main_architectures]

    def long_architectures(self) -> list[str]:
        """Main networks whose long training from scratch a hypothesis names, as control or otherwise."""
        named = {rule[side] for rule in self.hypotheses for side in RULE_ARMS if side in rule}
        return [name for name in self.main_architectures if f"{LONG}_{name}" in named]

    def for_breathing(self) -> "StudyPlan":
        """The plan as Data B follows it."""
        kept = {name: self.architectures[name] for name in self.breathing_architectures}
        followed = replace(self, architectures=kept, pretraining_steps=self.breathing_pretraining_steps, hypotheses=[])
        known = set(followed.arms())
        rules = [rule for rule in self.hypotheses if {rule[side] for side in RULE_ARMS if side in rule} <= known]
        return replace(followed, hypotheses=rules)

    def _check_architectures(self) -> None:
        for key in ("main_architectures", "breathing_architectures"):
            missing = [name for name in getattr(self, key) if name not in self.architectures]
            if missing:
                raise ValueError(f"{key}: {missing} are not among {list(self.architectures)}")
        missing = [name for name in self.main_architectures if name not in self.breathing_architectures]
        if missing:
            raise ValueError(f"breathing_architectures: {missing} of main_architectures are not among them")
        for name, content in self.architectures.items():
            overlay = content.get("overlay")
            if overlay is not None and not (CONFIGS_DIR / overlay).is_file():
                raise ValueError(f"architectures[{name!r}]: there is no config {overlay}")

    def _check_rules(self) -> None:
        """Hypotheses and expectations: a misspelt name would only be found after all arms were tested, or never."""
        for rule in self.hypotheses:
            where = f"hypothesis {rule.get('name')}"
            for key in sorted(RULE_KEYS - set(rule)):
                raise ValueError(f"{where} lacks '{key}'")
            for key in sorted(set(rule) - RULE_KEYS - MORE_RULE_KEYS):
                raise ValueError(f"{where}: unknown key '{key}'; there are {sorted(RULE_KEYS | MORE_RULE_KEYS)}")
            known = [arm for arm in self.arms() if arm not in SEEDLESS]  # those are of Data B alone, and have one test
            for side in (side for side in RULE_ARMS if side in rule):
                if rule[side] not in known:
                    raise ValueError(f"{where}: {rule[side]!r} is no arm to decide on; there are {known}")
            for side in (side for side in ("second", "control") if rule.get("control")):
                if split_arm(rule[side])[0] not in (*SCRATCH, *TRAINED):
                    raise ValueError(
                        f"{where}: {rule[side]!r} has no validation to choose between second and control by"
                    )
            for key in (key for key in ("metric", "no_loss_metric") if key in rule):
                if rule[key] not in OUTCOMES:
                    raise ValueError(f"{where}: {key} {rule[key]!r} is not among {', '.join(OUTCOMES)}")
            if ("no_loss_metric" in rule) != ("no_loss_margin" in rule):
                raise ValueError(f"{where}: no_loss_metric and no_loss_margin go together")
        measures = [name for name, _, _ in MEASURES]
        if sorted(self.expected) != sorted(measures):
            raise ValueError(f"expected needs {measures}, not {list(self.expected)}")

    def _check_generators(self) -> None:
        """Keys of the two generators."""
        known = [field.name for field in fields(PhantomSettings)]
        for name in ("phantom_settings", "pretraining_phantom_settings"):
            _check_keys(name, getattr(self, name), known, {"task"})
        content = json.loads((CONFIGS_DIR / "simulate_breathing.json").read_text(encoding="utf-8"))
        _check_keys("breathing", self.breathing, list(content), OWN_BREATHING)
        for key, lowest in (("seed", 0), ("cycles_per_case", 1)):
            whole_number(f"breathing#{key}", self.breathing.get(key), lowest)

    def _check_seeds(self) -> None:
        needed = {"pretraining", "pool", "validation", "testing", "calibration"}
        if set(self.phantom_seeds) != needed:
            raise ValueError(
                f"phantom_seeds needs a seed for each of {sorted(needed)}, not {sorted(self.phantom_seeds)}"
            )
        if len(set(self.phantom_seeds.values())) < len(needed):
            raise ValueError(f"phantom_seeds={dict(self.phantom_seeds)}: two data sets would share their patients")
        whole_number("tuning#seed", self.tuning.get("seed"), 0)
        if self.tuning["seed"] in self.seeds:
            raise ValueError(f"tuning seed {self.tuning['seed']} is among seeds={list(self.seeds)}: give it its own")

    def _check_settings(self) -> None:
        known, defaults = set(), {}
        for name in ("train.json", "finetune.json"):
            content = json.loads((CONFIGS_DIR / name).read_text(encoding="utf-8"))
            known |= {key.lstrip("+").split("#")[0] for key in content}
            defaults = {key: content[key] for key in ("epochs", "val_interval") if key in content} | defaults
        missing = [kind for kind in TRAINED if kind not in self.tuning]
        if missing:
            raise ValueError(f"tuning has no candidates of {', '.join(missing)}: give a list, [{{}}] for no change")
        candidates = {f"tuning[{kind!r}]": entry for kind in TRAINED for entry in self.tuning.get(kind, ())}
        kinds = (f"{kind}_settings" for kind in ("pretraining", "moved", "finetuning", "scratch"))
        named = {name: getattr(self, name) for name in ("recipe", "breathing_recipe", *kinds)} | candidates
        for name, settings in named.items():
            _check_keys(name, settings, sorted(known), OWN_SETTINGS)
        for name, settings in named.items():
            # the best epoch would be another rule than the last weights, and of `moved`, whose validation does not
            # breathe, an early one
            merged = {**defaults, **self.recipe, **settings}
            if merged["val_interval"] < merged["epochs"]:
                raise ValueError(f"{name}: val_interval must not be less than epochs: the last weights are taken")


def split_arm(arm: str) -> tuple[str, str | None]:
    """How an arm begins ("scratch", "pretrained", "zero_shot", ...) and its architecture, None without a network."""
    kinds = (LONG, *AFTER_GTV, *TRAINED)
    kind = next((kind for kind in kinds if arm.startswith(f"{kind}_")), arm)
    return kind, arm.removeprefix(f"{kind}_") if kind != arm else None


def plan_from(settings: Mapping[str, Any]) -> StudyPlan:
    """The plan of the named values; lists and mappings as the config gives them."""
    return StudyPlan(**{field.name: settings[field.name] for field in fields(StudyPlan)})


def _check_list(name: str, values: Sequence) -> None:
    if not values or len(set(values)) < len(values):
        raise ValueError(f"{name}={list(values)}: at least one value, none twice")


def _check_keys(name: str, settings: Mapping[str, Any], known: Sequence[str], own: Set[str]) -> None:
    """Keys, such as "train#dataset#end_radius", of which the first part must be known and not set by the study."""
    for key in settings:
        root = key.split("#")[0]
        if root in own:
            raise ValueError(f"{name}: the study itself sets '{key}'")
        if root not in known:
            near = difflib.get_close_matches(root, known, n=1)
            raise ValueError(f"{name}: unknown key '{key}'" + (f", did you mean '{near[0]}'?" if near else ""))
