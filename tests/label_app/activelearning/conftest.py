"""The strategies over a datastore of names and a network that only counts."""

from types import SimpleNamespace

import numpy as np
import pytest
from lib.activelearning.methods import create_scoring_methods, create_strategies
from lib.infer import inputs
from lib.infer.proposals import Proposals
from lib.options import AppOptions
from lib.server.network_queue import NetworkQueue

# probability inside a ball of 100 voxels: from sure to not sure at all; f: nothing is seen
PROBABILITIES = {"a": 0.99, "b": 0.95, "c": 0.6, "d": 0.8, "e": 0.7, "f": 0.0}


class CountingSegmenter:
    """A model's answer by the name of the CT."""

    def __init__(self):
        self.calls = []

    def segment(self, model_path, ct_path, pet_path):
        self.calls.append(ct_path.stem)
        probability = np.zeros((10, 10, 4), np.float16)
        probability[2:7, 2:7] = PROBABILITIES[ct_path.stem]
        volume = np.zeros(probability.shape, np.float32)
        affine = np.diag([4.0, 4.0, 4.0, 1.0])
        return SimpleNamespace(
            probability=probability, mask=probability > 0.5, ct_hu=volume, pet_suv=volume, affine=affine, nbytes=1
        )


class Names:
    """A datastore of empty files."""

    def __init__(self, folder):
        self.folder = folder
        self.labelled = set()
        self.patients = {}
        for name in PROBABILITIES:
            (folder / f"{name}.ct").touch()

    def get_unlabeled_images(self, label_tag=None, labels=None):
        return [name for name in PROBABILITIES if name not in self.labelled]

    def get_labeled_images(self, label_tag=None, labels=None):
        return sorted(self.labelled)

    def list_images(self):
        return list(PROBABILITIES)

    def patient_of(self, case):
        return self.patients.get(case, case)

    def case(self, image_id):
        if image_id == "missing":
            raise inputs.PetMissing("no PET")
        path = str(self.folder / f"{image_id}.ct")
        return {"case": image_id, "ct": path, "pet": path, "grid": "ct"}


class Registry:
    """The current version, which a test can change."""

    name = "igtv"

    def __init__(self, path):
        self.path, self.number = path, 1

    def current(self):
        return SimpleNamespace(name=self.name, number=self.number, sha256=f"{self.number:064d}", path=self.path)


@pytest.fixture
def app(tmp_path):
    cases = tmp_path / "cases"
    cases.mkdir()
    store, network = Names(cases), NetworkQueue()
    made = SimpleNamespace(
        store=store,
        datastore=lambda: store,
        network=network,
        proposals=Proposals(CountingSegmenter(), network),
        models={"igtv": Registry(tmp_path)},
        folders=SimpleNamespace(scores=tmp_path / "scores", learning=tmp_path / "learning"),
        options=AppOptions(),
    )
    made.strategies = create_strategies(made)
    made.scoring = create_scoring_methods(made)["tumour_entropy"]
    return made
