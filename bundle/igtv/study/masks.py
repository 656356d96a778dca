"""Masks of a model on a set of cases: made once, kept compressed, read again for margins and pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from monai.bundle import ConfigParser
from tqdm import tqdm

from ..evaluation.volumes import load_volume
from ..files import replacing
from ..inference.case_segmenter import CaseSegmenter
from ..learning.work import BUNDLE_DIR, CONFIGS_DIR

MASKS_FILE = "masks.npz"
NETWORK_KEYS = ("variant", "fusion", "sim", "sim_radius", "network_def")


def segment_cases(
    model_path: str | Path,
    cases: Sequence[Mapping[str, str]],
    device: str,
    overlay: str | None,
    window: Sequence[int],
    configs_dir: str | Path = CONFIGS_DIR,
) -> dict[str, np.ndarray]:
    """Masks of a model, boolean (X, Y, Z) in RAS on the grid of each case's CT.

    Args:
        model_path: checkpoint with its card.
        cases: with `case`, `ct`, `pet`.
        device: such as "cpu".
        overlay: config file that defines another network than ours; None for ours.
        window: window (H, W, S) in which another network sees a volume: that of its training.
        configs_dir: folder of `inference.json` and the overlay.
    """
    configs_dir = Path(configs_dir)
    segmenter = CaseSegmenter(
        BUNDLE_DIR, device, _overrides(overlay, window, configs_dir), configs_dir / "inference.json"
    )
    masks = {}
    for case in tqdm(cases, desc="segmenting", unit="case"):
        answer = segmenter.segment(model_path, case["ct"], case["pet"])
        mask = nib.Nifti1Image(answer.mask.astype(np.uint8), answer.affine)
        masks[case["case"]] = np.asarray(nib.as_closest_canonical(mask).dataobj) > 0
    return masks


def load_label(case: Mapping[str, str]) -> tuple[np.ndarray, tuple[float, ...]]:
    """Reference of a case: boolean (X, Y, Z) in RAS, and its voxel size in mm."""
    volume = load_volume(case["label"], case["case"], "label")
    return volume[0].numpy() > 0.5, tuple(float(value) for value in volume.pixdim)


def save_masks(path: str | Path, masks: Mapping[str, np.ndarray]) -> None:
    """Write boolean masks by name of the case into one compressed file."""
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **{name: mask.astype(bool) for name, mask in masks.items()})


def load_masks(path: str | Path) -> dict[str, np.ndarray]:
    """Read what `save_masks` wrote."""
    with np.load(path, allow_pickle=False) as content:
        return {name: content[name] for name in content.files}


def _overrides(overlay: str | None, window: Sequence[int], configs_dir: Path) -> dict:
    """Keys of inference.json that let it run another network."""
    if overlay is None:
        return {}
    content = ConfigParser.load_config_file(str(configs_dir / overlay))
    return {key: content[key] for key in NETWORK_KEYS if key in content} | {
        "whole_volume_inferer#window_size": list(window)
    }
