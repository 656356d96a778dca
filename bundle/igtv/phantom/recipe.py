"""What a phantom data set was made with: stored beside it, compared on the next run, turned into the datalist."""

import json
from dataclasses import dataclass
from pathlib import Path

from .case import case_name
from .settings import GENERATOR_VERSION, PhantomSettings
from .storage import FACTS_FILE

RECIPE_FILE = "simulation.json"
OVERVIEW_FILE = "overview.png"
# numbers of the cases kept for testing, so that they stay the same when `num_cases` changes
FIRST_TEST_INDEX = 50_000


@dataclass(frozen=True)
class Recipe:
    """Everything a data set depends on."""

    num_cases: int
    num_testing: int
    num_folds: int
    seed: int
    settings: PhantomSettings

    def __post_init__(self):
        if self.num_folds > self.num_cases:
            raise ValueError(
                f"num_folds is {self.num_folds} but num_cases only {self.num_cases}: every fold needs a case."
            )
        if max(self.num_cases, self.num_testing) > FIRST_TEST_INDEX:
            raise ValueError(f"num_cases and num_testing may be {FIRST_TEST_INDEX} at most.")

    @property
    def training_indices(self) -> list[int]:
        return list(range(self.num_cases))

    @property
    def testing_indices(self) -> list[int]:
        return list(range(FIRST_TEST_INDEX, FIRST_TEST_INDEX + self.num_testing))

    @property
    def indices(self) -> list[int]:
        return self.training_indices + self.testing_indices

    def case_id(self, index: int) -> str:
        """Name of a case and of its folder."""
        return case_name(self.settings.task, index)

    def to_dict(self) -> dict:
        """Plain values for JSON, in one level."""
        return {
            "generator_version": GENERATOR_VERSION,
            "num_cases": self.num_cases,
            "num_testing": self.num_testing,
            "num_folds": self.num_folds,
            "seed": self.seed,
            **self.settings.to_dict(),
        }

    def differences(self, found: dict) -> list[str]:
        """Settings that differ from those of a data set that is there, as 'name: there X, asked Y'."""
        return differing_settings(self.to_dict(), found)

    def datalist(self, folder: Path) -> dict:
        """Decathlon-style datalist; paths relative to the folder."""
        training = [self._item(folder, i) | {"fold": i % self.num_folds} for i in self.training_indices]
        datalist = {
            "name": f"Thorax PET/CT phantom, task {self.settings.task}",
            "description": "Simulated breathing thorax: CT in HU, PET in SUVbw (g/ml), no patient data.",
            "licence": "Apache-2.0",
            "phantom": True,
            "task": self.settings.task,
            "simulation": self.to_dict(),
            "numTraining": len(training),
            "numTest": self.num_testing,
            "labels": {"0": "background", "1": self.settings.task.upper()},
            "training": training,
        }
        if self.num_testing:
            datalist["testing"] = [self._item(folder, i) for i in self.testing_indices]
        return datalist

    def _item(self, folder: Path, index: int) -> dict:
        name = self.case_id(index)
        facts = json.loads((folder / name / FACTS_FILE).read_text(encoding="utf-8"))
        files = {key: f"{name}/{key}.nii.gz" for key in ("ct", "pet", "label")}
        return files | {"patient_id": name, "ct_kind": facts["ct_kind"], "label_kind": self.settings.task}


def differing_settings(asked: dict, found: dict) -> list[str]:
    """Settings asked for that differ from those found, as 'name: there X, asked Y'; None: it is missing."""
    return [
        f"{name}: there {found.get(name)!r}, asked {asked.get(name)!r}"
        for name in dict.fromkeys([*asked, *found])
        if found.get(name) != asked.get(name)
    ]


def read_recipe(folder: Path) -> dict | None:
    """Settings of the data set in a folder, None when it holds none.

    Raises:
        ValueError: the file is damaged.
    """
    path = folder / RECIPE_FILE
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is damaged ({error}): remove the folder and make the data again.") from error
