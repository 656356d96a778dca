"""How far a threshold gets on a phantom data set: Dice of fixed and relative SUV thresholds, whole and at the ends.

python -m igtv.phantom.difficulty DATASET_DIR [--cases 20]
"""

import argparse
import json
from pathlib import Path

import numpy as np
from scipy.ndimage import label as connected_components

from .case import Case
from .overview import pet_on_ct_grid
from .recipe import DATALIST_FILE
from .storage import load_case

THRESHOLDS_SUV = tuple(float(t) for t in np.arange(1.0, 6.01, 0.25))
RELATIVE = 0.41
END_MM = 6.0


def largest_component(mask: np.ndarray, near: np.ndarray | None = None) -> np.ndarray:
    """Largest connected part of a mask, or with `near` the largest of those that touch that mask."""
    parts, count = connected_components(mask)
    if count == 0:
        return mask
    sizes = np.bincount(parts[mask if near is None else mask & near], minlength=count + 1)
    return parts == int(np.argmax(sizes)) if sizes.any() else np.zeros_like(mask)


def dice(first: np.ndarray, second: np.ndarray) -> float:
    """Dice overlap of two masks; 1 when both are empty."""
    total = int(first.sum()) + int(second.sum())
    return 2.0 * int((first & second).sum()) / total if total else 1.0


def end_slices(target: np.ndarray, spacing_z_mm: float) -> tuple[slice, slice]:
    """Slices of the lowest and the uppermost 6 mm of the target: (inferior, superior)."""
    rows = np.flatnonzero(target.any(axis=(0, 1)))
    count = max(1, round(END_MM / spacing_z_mm))
    return slice(rows[0], rows[0] + count), slice(rows[-1] + 1 - count, rows[-1] + 1)


def threshold_scores(case: Case) -> dict:
    """Dice of thresholds on one case.

    Returns:
        `fixed`: Dice by fixed threshold with the largest component, aligned with THRESHOLDS_SUV;
        `fixed_all`: the same without choosing a component; `relative`: 41 % of the maximum, largest component;
        `relative_seeded`: 41 % of the tumour's own maximum, the component on the tumour (needs the truth);
        `ends`: mean over both ends of the Dice of the fixed thresholds within the target's outer 6 mm.
    """
    pet = pet_on_ct_grid(case.pet, case.pet_grid, case.grid)
    target = case.label.astype(bool)
    masks = [largest_component(pet > t) for t in THRESHOLDS_SUV]
    seeded = largest_component(pet > RELATIVE * pet[target].max(), near=target)
    ends = end_slices(target, case.grid.spacing_mm[2])
    return {
        "fixed": [dice(m, target) for m in masks],
        "fixed_all": [dice(pet > t, target) for t in THRESHOLDS_SUV],
        "relative": dice(largest_component(pet > RELATIVE * pet.max()), target),
        "relative_seeded": dice(seeded, target),
        "ends": [float(np.mean([dice(m[..., e], target[..., e]) for e in ends])) for m in masks],
        "ends_seeded": float(np.mean([dice(seeded[..., e], target[..., e]) for e in ends])),
    }


def report(dataset_dir: str | Path, num_cases: int | None = None) -> str:
    """Table of the scores, one line per case, as Markdown.

    Args:
        dataset_dir: folder of the data set.
        num_cases: how many cases of the list `training`; None: all.

    Raises:
        FileNotFoundError: there is no datalist.
    """
    path = Path(dataset_dir) / DATALIST_FILE
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
        ("its ends", lambda s: s["ends"][best]),
        (f"> {THRESHOLDS_SUV[best_all]:g}, all parts", lambda s: s["fixed_all"][best_all]),
        ("41 %", lambda s: s["relative"]),
        ("41 % seeded", lambda s: s["relative_seeded"]),
        ("its ends ", lambda s: s["ends_seeded"]),
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
