"""Six labelled cases for the app's training, and its end."""

from pathlib import Path

import nibabel as nib
import numpy as np
from lib.studies.errors import PetMissing

from ..waiting import wait_for

PATIENTS = ["p0", "p1", "p2", "p3", "p4", "p5"]


class Datastore:
    """Six labelled cases, one of them without PET, one without tumour."""

    def __init__(self, folder: Path):
        self.folder = folder
        random = np.random.RandomState(0)
        for name in PATIENTS:
            (folder / name).mkdir(parents=True)
            for key, low, high in (("ct", -900, 100), ("pet", 0, 9)):  # HU, SUV
                self._save(folder / name / f"{key}.nii.gz", random.uniform(low, high, (4, 4, 4)).astype(np.float32))
            mask = (random.rand(4, 4, 4) > 0.5).astype(np.uint8) * (name != "p4")
            self._save(folder / name / "label.nii.gz", mask)

    @staticmethod
    def _save(path, values):
        nib.save(nib.Nifti1Image(values, np.eye(4)), path)

    def final_labels(self):
        return [
            {
                "image": name,
                "patient_id": name,
                "label": str(self.folder / name / "label.nii.gz"),
                "no_tumour": name == "p4",
                "version": 1,
            }
            for name in PATIENTS
        ]

    def refresh(self):
        self.refreshed = getattr(self, "refreshed", 0) + 1

    def undecided_labels(self):
        return []

    def case(self, image_id):
        if image_id == "p5":
            raise PetMissing("case p5 has no PET")
        return {"case": image_id, "patient_id": image_id} | {
            key: str(self.folder / image_id / f"{key}.nii.gz") for key in ("ct", "pet")
        }


def finished(app):
    wait_for(lambda: app.learning.running() is None)
    return app.learning.status()
