"""How far a threshold gets on a phantom data set: Dice of fixed and relative SUV thresholds, whole and at the ends.

python -m igtv.phantom.difficulty DATASET_DIR [--cases 20]
"""

import argparse
import json
from pathlib import Path

import numpy as np
from scipy import ndimage

from ..data.datalist import DATALIST_NAME
from ..evaluation.ends import end_metrics
from ..evaluation.masks import NEIGHBOURS, largest_component
from ..evaluation.overlap import dice
from .case import Case
from .overview import pet_on_ct_grid
from .storage import load_case

THRESHOLDS_SUV = tuple(float(t) for t in np.arange(1.0, 6.01, 0.25))
RELATIVE = 0.41


def component_on(mask: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The connected part of a mask that covers most of the target (X, Y, Z); empty when none does."""
    parts, count = ndimage.label(mask, structure=NEIGHBOURS)
    sizes = np.bincount(parts[mask & target], minlength=count + 1)
    return parts == int(np.argmax(sizes)) if sizes.any() else np.zeros_like(mask)


def threshold_scores(case: Case) -> dict:
    """Dice of thresholds on one case.

    Returns:
        `fixed`: Dice by fixed threshold with the largest component, aligned with THRESHOLDS_SUV;
        `fixed_ends`: mean Dice of the target's two ends with these;
        `fixed_all`: fixed thresholds without choosing a component;
        `relative`: 41 % of the maximum, largest component;
        `relative_seeded`, `relative_seeded_ends`: 41 % of the tumour's own maximum, the component on the tumour:
        what a reader gets who clicks on it.
    """
    pet = pet_on_ct_grid(case.pet, case.pet_grid, case.grid)
    target = case.label.astype(bool)
    spacing = case.grid.spacing_mm
    masks = [largest_component(pet > t) for t in THRESHOLDS_SUV]
    seeded = component_on(pet > RELATIVE * pet[target].max(), target)
    return {
        "fixed": [dice(mask, target) for mask in masks],
        "fixed_ends": [_mean_of_ends(mask, target, spacing) for mask in masks],
        "fixed_all": [dice(pet > t, target) for t in THRESHOLDS_SUV],
        "relative": dice(largest_component(pet > RELATIVE * pet.max()), target),
        "relative_seeded": dice(seeded, target),
        "relative_seeded_ends": _mean_of_ends(seeded, target, spacing),
    }


def _mean_of_ends(mask: np.ndarray, target: np.ndarray, spacing_mm) -> float:
    ends = end_metrics(mask, target, spacing_mm)
    return (ends["dice_superior_end"] + ends["dice_inferior_end"]) / 2


def report(dataset_dir: str | Path, num_cases: int | None = None) -> str:
    """Table of the scores, one line per case, as Markdown.

    Args:
        dataset_dir: folder of the data set.
        num_cases: how many cases of the list `training`; None: all.

    Raises:
        FileNotFoundError: there is no datalist.
    """
    path = Path(dataset_dir) / DATALIST_NAME
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: make the data set with `simulating` first.")
    items = json.loads(path.read_text(encoding="utf-8"))["training"][:num_cases]
    cases = [load_case(path.parent / item["patient_id"]) for item in items]
    scores = [threshold_scores(case) for case in cases]
    best = int(np.argmax(np.mean([s["fixed"] for s in scores], axis=0)))
    best_all = int(np.argmax(np.mean([s["fixed_all"] for s in scores], axis=0)))
    columns = [
        ("case", lambda c, s: c.case_id),
        ("lobe, site, kind", lambda c, s: ", ".join(c.metadata[k] for k in ("lobe", "site", "kind"))),
        ("D mm", lambda c, s: f"{c.metadata['diameter_mm']:.0f}"),
        ("SI mm", lambda c, s: f"{c.metadata['excursion']['si_mm']:.1f}"),
        ("SUV", lambda c, s: f"{c.metadata['tumour_suv']:.1f}"),
    ]
    numbers = [
        (f"> {THRESHOLDS_SUV[best]:g}", lambda s: s["fixed"][best]),
        ("ends", lambda s: s["fixed_ends"][best]),
        (f"> {THRESHOLDS_SUV[best_all]:g}, all parts", lambda s: s["fixed_all"][best_all]),
        ("41 %", lambda s: s["relative"]),
        ("41 % seeded", lambda s: s["relative_seeded"]),
        ("ends, seeded", lambda s: s["relative_seeded_ends"]),
    ]
    lines = ["| " + " | ".join([n for n, _ in columns] + [n for n, _ in numbers]) + " |"]
    lines.append("|" + "---|" * (len(columns) + len(numbers)))
    for case, score in zip(cases, scores, strict=True):
        cells = [get(case, score) for _, get in columns] + [f"{get(score):.2f}" for _, get in numbers]
        lines.append("| " + " | ".join(cells) + " |")
    means = [f"**{np.mean([get(s) for s in scores]):.2f}**" for _, get in numbers]
    lines.append("| " + " | ".join(["**mean**"] + [""] * (len(columns) - 1) + means) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Dice of SUV thresholds on a phantom data set.")
    parser.add_argument("dataset_dir", help="folder of the data set")
    parser.add_argument("--cases", type=int, default=None, help="number of cases (default: all)")
    arguments = parser.parse_args()
    print(report(arguments.dataset_dir, arguments.cases))


if __name__ == "__main__":
    main()
