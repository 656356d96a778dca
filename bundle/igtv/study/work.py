"""The part of the study that computes: one unit, in a process of its own.

`python -m igtv.study.work <folder>` does what `work.json` in the folder says, writes into that folder alone and leaves
`partial_result.json`, which the process that started it makes the result.
"""

import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..evaluation.tables import METRICS_FILE, write_rows
from ..evaluation.volumes import load_case
from ..files import write_json
from ..learning.work import run_verb
from ..phantom.breathing_case import cut_faces
from ..training.checkpoint_keeper import CHECKPOINT_NAME, LAST_NAME
from ..training.manifest import MANIFEST_NAME
from .light_metrics import light_metrics
from .margins import at_the_edge, choose_margin, grow
from .masks import MASKS_FILE, load_label, load_masks, save_masks, segment_cases
from .sources import sources_digests
from .store import content_digest, load_json
from .thresholds import choose_rule, choose_seeded_rule

WORK_FILE, PARTIAL_FILE = "work.json", "partial_result.json"
CASE_KEYS = ("case", "ct", "pet", "label")

logger = logging.getLogger(__name__)


def train(folder: Path, work: Mapping[str, Any], device: str) -> dict[str, Any]:
    """Train or fine-tune by the bundle's own verbs; goes on from the checkpoint of a training that was killed.

    `work`: `settings`, `seed`, `overlay` (config of another network or None), `model_path` (None: from scratch),
    `task`, `trained_on` (for the model card), `training`, `validation` (cases), `steps` (that the settings come to),
    `configs_dir`.
    """
    pretrained = work["model_path"] is not None
    files = ["train.json", *(["finetune.json"] if pretrained else []), *filter(None, [work["overlay"]])]
    settings = {
        **work["settings"],
        "seed": work["seed"],
        "task": work["task"],
        "trained_on": work["trained_on"],
        "model_path": work["model_path"],
        "output_dir": str(folder),
        "resume": (folder / CHECKPOINT_NAME).is_file(),
        "device": device,
        "num_pictures": 0,
        "use_tensorboard": False,
    }
    for key, part in (("train#dataset#data", "training"), ("validate#dataset#data", "validation")):
        settings[key] = [{name: case[name] for name in CASE_KEYS} for case in work[part]]
    run_verb("finetuning" if pretrained else "training", tuple(files), settings, Path(work["configs_dir"]))
    manifest = load_json(folder / MANIFEST_NAME)
    for name in (CHECKPOINT_NAME, LAST_NAME, str(Path(LAST_NAME).with_suffix(".json"))):
        (folder / name).unlink(missing_ok=True)  # a study has dozens of trainings; the best weights stay
    return {"training_seconds": manifest["seconds"], "steps": work["steps"], **manifest["results"]}


def predict(folder: Path, work: Mapping[str, Any], device: str) -> dict[str, Any]:
    """Masks of a model. `work`: `model_path`, `overlay`, `window`, `cases`, `configs_dir`."""
    masks = segment_cases(
        work["model_path"], work["cases"], device, work["overlay"], work["window"], work["configs_dir"]
    )
    save_masks(folder / MASKS_FILE, masks)
    return {"cases": len(masks)}


def test_network(folder: Path, work: Mapping[str, Any], device: str) -> dict[str, Any]:
    """Masks of a model, and their numbers. `work` as in `predict`."""
    made = predict(folder, work, device)
    masks = load_masks(folder / MASKS_FILE)
    return made | _measure(folder, work["cases"], lambda case, spacing: masks[case["case"]])


def test_masks(folder: Path, work: Mapping[str, Any], device: str) -> dict[str, Any]:
    """Numbers of masks made before. `work`: `masks` (file), `cases`."""
    masks = load_masks(work["masks"])
    return _measure(folder, work["cases"], lambda case, spacing: masks[case["case"]])


def test_gtv(folder: Path, work: Mapping[str, Any], device: str) -> dict[str, Any]:
    """Numbers of the tumour as the CT shows it: what perfect GTV contours would reach. `work`: `cases` with `gtv`."""
    return _measure(folder, work["cases"], lambda case, spacing: load_label({**case, "label": case["gtv"]})[0])


def test_margin(folder: Path, work: Mapping[str, Any], device: str) -> dict[str, Any]:
    """GTV plus the margin that is best for the labelled cases.

    `work`: `training`, `training_masks`, `cases`, `masks` (files of the GTV model's masks), `si_mm`, `in_plane_mm`.
    """
    known = load_masks(work["training_masks"])
    labelled = ((known[case["case"]], *load_label(case)) for case in work["training"])
    margin, training_dice = choose_margin(labelled, work["si_mm"], work["in_plane_mm"])
    masks = load_masks(work["masks"])
    made = _measure(folder, work["cases"], lambda case, spacing: grow(masks[case["case"]], margin, spacing))
    edge = at_the_edge(margin, work["si_mm"], work["in_plane_mm"])
    if edge:
        logger.warning("%s of the margin is the largest value tried: give larger ones", ", ".join(edge))
    return made | {"chosen": asdict(margin), "training_dice": training_dice, "at_the_edge": edge}


def test_threshold(folder: Path, work: Mapping[str, Any], device: str) -> dict[str, Any]:
    """The PET threshold that is best for the labelled cases. `work`: `training`, `cases`, `suv`, `fractions`."""
    labelled = ((_pet(case), *load_label(case)) for case in work["training"])
    rule, training_dice = choose_rule(labelled, work["suv"], work["fractions"])
    made = _measure(folder, work["cases"], lambda case, spacing: rule.mask(_pet(case), spacing))
    return made | {"chosen": asdict(rule), "training_dice": training_dice}


def test_seeded_threshold(folder: Path, work: Mapping[str, Any], device: str) -> dict[str, Any]:
    """The PET threshold around the GTV model's mask that is best for the known cases.

    `work`: `training`, `training_masks`, `cases`, `masks` (files of the GTV model's masks), `suv`, `fractions`.
    """
    known = load_masks(work["training_masks"])
    labelled = ((_pet(case), load_label(case)[0], known[case["case"]]) for case in work["training"])
    rule, training_dice = choose_seeded_rule(labelled, work["suv"], work["fractions"])
    masks = load_masks(work["masks"])
    made = _measure(folder, work["cases"], lambda case, spacing: rule.mask(_pet(case), masks[case["case"]]))
    return made | {"chosen": asdict(rule), "training_dice": training_dice}


KINDS: dict[str, Callable[[Path, Mapping[str, Any], str], dict[str, Any]]] = {
    "train": train,
    "predict": predict,
    "test_network": test_network,
    "test_masks": test_masks,
    "test_gtv": test_gtv,
    "test_margin": test_margin,
    "test_threshold": test_threshold,
    "test_seeded_threshold": test_seeded_threshold,
}


def do_unit(folder: str | Path) -> None:
    """Do the unit of a folder."""
    folder = Path(folder)
    content = load_json(folder / WORK_FILE)
    start = time.process_time()
    sources = content_digest(sources_digests())  # a study takes hours, in which the package may be changed
    result = KINDS[content["kind"]](folder, content["work"], content["device"])
    cpu_seconds = round(time.process_time() - start, 1)
    write_json(folder / PARTIAL_FILE, {**result, "cpu_seconds": cpu_seconds, "sources": sources})


def _measure(folder: Path, cases, mask_of: Callable[[Mapping, Sequence[float]], Any]) -> dict[str, Any]:
    """Metrics of every case; `mask_of` makes its mask of the case and its voxel size in mm."""
    rows = []
    for case in cases:
        label, spacing = load_label(case)
        cut_by = case.get("cut_by", cut_faces(label))
        numbers = light_metrics(mask_of(case, spacing), label, spacing, case["case"], cut_by)
        rows.append({"case": case["case"], "patient": case["patient"], **numbers})
    write_rows(folder / METRICS_FILE, rows)
    return {"cases": len(rows)}


def _pet(case: Mapping[str, str]):
    return load_case(case, ("label", "pet"))["pet"]


def main(arguments: list[str]) -> int:
    """Do the unit of the only argument."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout)
    try:
        do_unit(arguments[0])
    except Exception as error:
        logger.exception("the unit failed")
        print(f"{type(error).__name__}: {error}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
