"""An app with two small paired cases, whose network is the PET."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from igtv.inference.case_segmenter import CaseProposal
from igtv.inference.ct_grid import pet_on_ct_grid
from igtv.learning.registry import ModelRegistry
from lib.infer.tasks import create_infers
from lib.learning.models import SHIPPED
from lib.paths import DataFolders
from lib.server.network_queue import NetworkQueue
from lib.studies.local_datastore import PairedLocalDatastore
from scipy.spatial.transform import Rotation

TUMOUR_MM = np.array([10.0, -20.0, 30.0])  # patient RAS
MISSED_MM = np.array([-30.0, 15.0, 24.0])
RADIUS_MM = 12.0
# file orders and directions: what scanners, converters and viewers leave behind
CT_AXES = {"RAS": (2.0, 2.0, 3.0), "LPS": (-2.0, -2.0, 3.0), "LPI": (-2.0, -2.0, -3.0)}


@dataclass
class PetSegmenter:
    """In place of the network: sure of tumour where the SUV is above 4, nearly sure of none elsewhere."""

    calls: list = field(default_factory=list)

    def segment(self, model_path, ct_path, pet_path):
        self.calls.append((Path(model_path), Path(ct_path).name))
        ct = nib.load(ct_path)
        pet = pet_on_ct_grid(pet_path, ct)
        probability = np.where(pet > 4, 0.9, 0.02).astype(np.float16)
        card = {"name": "PET", "task": "gtv"}
        return CaseProposal(probability, pet > 4, ct.get_fdata().astype(np.int16), pet.astype(np.float16), ct, card)

    def warm_up(self, model_path):
        self.calls.append((Path(model_path), "warm-up"))


def write_case(folder, name, steps_mm, pet_steps_mm=(4.0, 4.0, 4.0), turn_deg=None):
    """CT of 64 x 64 x 24 voxels about the origin, PET on a grid of its own; a hot tumour and a lukewarm one."""
    turn = np.eye(3) if turn_deg is None else Rotation.from_euler("xyz", turn_deg, degrees=True).as_matrix()
    volumes = {}
    for what, steps, shape in (("ct", steps_mm, (64, 64, 24)), ("pet", pet_steps_mm, (36, 36, 22))):
        affine = np.eye(4)
        affine[:3, :3] = turn @ np.diag(steps)
        affine[:3, 3] = np.array([0, 0, 27.0]) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
        places = nib.affines.apply_affine(affine, np.moveaxis(np.indices(shape), 0, -1))
        hot, warm = (np.linalg.norm(places - centre, axis=-1) <= RADIUS_MM for centre in (TUMOUR_MM, MISSED_MM))
        if what == "ct":
            values = np.where(hot | warm, 40, -800).astype(np.int16)
        else:
            values = np.where(hot, 9.0, np.where(warm, 2.5, 0.6)).astype(np.float32)
        volumes[what] = nib.Nifti1Image(values, affine)
    (folder / "pet").mkdir(parents=True, exist_ok=True)
    nib.save(volumes["ct"], folder / f"{name}.nii.gz")
    nib.save(volumes["pet"], folder / "pet" / f"{name}.nii.gz")


@pytest.fixture(scope="session")
def studies_made(tmp_path_factory):
    """Cases RAS, LPS, LPI, and `oblique`; made once."""
    folder = tmp_path_factory.mktemp("studies")
    for name, steps in CT_AXES.items():
        write_case(folder, name, steps)
    write_case(folder, "oblique", (-2.0, -2.0, 3.0), turn_deg=(12, -8, 20))
    return folder


@pytest.fixture
def app(tmp_path, studies_made, bundle_dir):
    """What the tasks need of the app."""
    studies = tmp_path / "studies"
    shutil.copytree(studies_made, studies)
    folders = DataFolders(studies / "igtv").make()
    registries = {name: ModelRegistry(folders.models, name) for name in ("gtv", "igtv")}
    for name, registry in registries.items():
        registry.seed(bundle_dir / "models" / SHIPPED[name], "shipped")
    datastore = PairedLocalDatastore(studies, folders.root)
    made = SimpleNamespace(
        studies=studies,
        folders=folders,
        models=registries,
        network=NetworkQueue(),
        bundle_dir=bundle_dir,
        options=SimpleNamespace(device="cpu"),
        datastore=lambda: datastore,
    )
    made.infers = create_infers(made)
    made.proposals.segmenter = PetSegmenter()
    return made


def voxel_at(path, place_mm):
    """Voxel of a file nearest to a place in patient RAS mm, as a viewer would send it."""
    affine = nib.load(path).affine
    return np.round(nib.affines.apply_affine(np.linalg.inv(affine), place_mm)).astype(int).tolist()
