"""One case through `inference.json` and back as arrays: for servers and loops that keep models loaded."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.bundle import ConfigParser

from ..configuration.component_locator import SteadyComponentLocator
from ..networks.checkpoint import load_weights
from ..networks.model_card import read_model_card
from .ct_grid import on_ct_grid, pet_on_ct_grid

CONFIG_FILE = "configs/inference.json"
MODELS_KEPT = 2
WARM_UP_SHAPE = (64, 64, 8)


@dataclass
class CaseProposal:
    """What the model says about one case, everything on the CT's own grid and in its file's order of axes.

    Attributes:
        probability: of tumour, (X, Y, Z) float16 in [0, 1].
        mask: the proposal, boolean, after the post-processing of the bundle (one lesion, see `avidity`).
        ct_hu: CT in HU, int16.
        pet_suv: PET in SUVbw (g/ml), float16, interpolated to the CT.
        ct: the CT's file without its voxels: header and affine.
        card: model card of the weights.
    """

    probability: np.ndarray
    mask: np.ndarray
    ct_hu: np.ndarray
    pet_suv: np.ndarray
    ct: nib.Nifti1Image = field(repr=False)
    card: dict[str, Any] = field(repr=False, default_factory=dict)

    @property
    def affine(self) -> np.ndarray:
        """4 x 4, voxel index -> patient RAS mm."""
        return self.ct.affine

    @property
    def nbytes(self) -> int:
        """Memory of the volumes in bytes."""
        return self.probability.nbytes + self.mask.nbytes + self.ct_hu.nbytes + self.pet_suv.nbytes


class CaseSegmenter:
    """Keeps the latest models loaded. Not for several threads at once: the caller gives turns.

    Args:
        bundle_root: folder of the bundle.
        device: such as "cpu", "cuda:0"; None: CUDA where there is one.
        config_file: that stands for the bundle's `inference.json`; None: that one.
        overrides: further keys of `inference.json` to replace, e.g. {"test_time_flips": ["x"]}.
    """

    def __init__(
        self,
        bundle_root: str | Path,
        device: str | None = None,
        overrides: dict[str, Any] | None = None,
        config_file: str | Path | None = None,
    ) -> None:
        self.bundle_root = Path(bundle_root)
        self.device = str(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.config_file = Path(config_file or self.bundle_root / CONFIG_FILE)
        self.overrides = dict(overrides or {})
        self._models: OrderedDict[tuple, dict[str, Any]] = OrderedDict()

    def segment(self, model_path: str | Path, ct_path: str | Path, pet_path: str | Path) -> CaseProposal:
        """Probability and mask of one case.

        Args:
            model_path: checkpoint with its model card; loaded again when the file changed.
            ct_path: CT in HU, NIfTI.
            pet_path: PET in SUVbw (g/ml), NIfTI, on any grid.

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: the weights do not fit their card, or a volume cannot be used.
        """
        for path, what in ((ct_path, "CT"), (pet_path, "PET")):
            if not Path(path).is_file():
                raise FileNotFoundError(f"the {what} is missing: {Path(path).name}")
        parts = self._parts(Path(model_path))
        # these two keys alone: strings under `image_...` would break Spacingd
        data = parts["preprocessing"]({"ct": str(ct_path), "pet": str(pet_path)})
        with torch.no_grad():
            volume = data["image"][None].to(self.device)
            data["pred"] = parts["inferer"](volume, parts["network"])[0].cpu()
        data = parts["postprocessing"](data)
        ct = nib.load(ct_path)
        name = Path(ct_path).name
        mask = on_ct_grid(data["pred"], ct, name, "the mask") > 0.5
        probability = on_ct_grid(data["probability"], ct, name, "the probability map").astype(np.float16)
        return CaseProposal(
            probability=probability,
            mask=mask,
            ct_hu=np.clip(np.asarray(ct.dataobj, dtype=np.float32), -32768, 32767).astype(np.int16),
            pet_suv=np.clip(pet_on_ct_grid(pet_path, ct), 0, 60000).astype(np.float16),
            ct=nib.Nifti1Image(np.broadcast_to(np.uint8(0), ct.shape), ct.affine, ct.header),
            card=parts["card"],
        )

    def warm_up(self, model_path: str | Path) -> None:
        """Run the network once on a small empty volume, so that the first case is not the slow one."""
        parts = self._parts(Path(model_path))
        with torch.no_grad():
            parts["inferer"](torch.full((1, 2, *WARM_UP_SHAPE), -1.0, device=self.device), parts["network"])

    def _parts(self, model_path: Path) -> dict[str, Any]:
        """What `inference.json` makes of a checkpoint: transforms, inferer, network."""
        status = model_path.stat()
        key = (str(model_path.resolve()), status.st_mtime_ns, status.st_size)
        if key in self._models:
            self._models.move_to_end(key)
            return self._models[key]
        parser = ConfigParser()
        parser.locator = SteadyComponentLocator()  # a server's other threads may be importing
        parser.read_config(self.config_file)
        parser.update(
            {
                "bundle_root": str(self.bundle_root),
                "model_path": str(model_path),
                "device": self.device,
                "whole_volume_inferer#progress": False,
                **self.overrides,
            }
        )
        parts = {name: parser.get_parsed_content(name) for name in ("preprocessing", "inferer", "postprocessing")}
        network = parser.get_parsed_content("network_def").to(self.device)
        load_weights(network, model_path)  # not through the config, which would hide why weights do not fit
        parts["network"] = network.eval()
        parts["card"] = read_model_card(model_path)
        self._models[key] = parts
        while len(self._models) > MODELS_KEPT:
            self._models.popitem(last=False)
        return parts
