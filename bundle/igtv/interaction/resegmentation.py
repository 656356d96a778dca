"""Local segmentation anew round clicks: the network's opinion, the tissue's likeness to the clicked one, nothing far.

A click speaks for the tissue that can be reached from it through similar tissue: with the strength (in logits)
`STRENGTH * (1 - arrival / reach)`, positive inside, negative outside the tumour. It is added to the network's logit,
which is held within `LOGIT_LIMIT`, so that a click can overrule a network that is very sure and very wrong. The reach
is the radius, or some times the click's distance to the border of the mask that the clicks before it made: a click
beside a border means the border, which is wrong by a few millimetres, and not the whole tumour or lung. Voxels change
only in one piece with a click, and none lies farther from a click than the radius.
"""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from .clicks import Click, voxel_of
from .likeness import TissueLikeness

RADIUS_MM = 40.0  # chosen, as the numbers below, on the 25 training patients of the sarcoma data
STRENGTH = 10.0
LOGIT_LIMIT = 3.0
LOGIT_MARGIN = 0.5  # the proposal may differ from probability > 0.5 (one lesion of them): its side counts at least this
BORDERS = 8.0  # a click reaches this many times its distance to the border of the mask so far
SMALLEST_REACH_MM = 10.0
OBEYING_RADIUS_MM = 3.0  # this close to a click nothing contradicts it

_PIECES = ndimage.generate_binary_structure(3, 1)


def resegment(
    probability: np.ndarray,
    mask: np.ndarray,
    tissue: TissueLikeness,
    affine: np.ndarray,
    clicks: Sequence[Click],
    radius_mm: float = RADIUS_MM,
) -> np.ndarray:
    """Correct a proposed mask so that it obeys the clicks.

    Args:
        probability: of tumour, (X, Y, Z) in [0, 1].
        mask: the proposal, same shape, boolean or 0 and 1; stays as it is.
        tissue: CT and PET of the case on the same grid.
        affine: 4 x 4, voxel index -> patient RAS mm; any orientation.
        clicks: all clicks so far; those inside are taken first, in their order, then those outside.
        radius_mm: nothing farther from every click than this changes.

    Returns:
        The corrected mask, boolean. Every voxel that holds a click has what the click says.

    Raises:
        ValueError: a click lies outside the volume, two clicks in one voxel contradict each other, the radius is not
            positive, or the shapes differ.
    """
    if not radius_mm > 0:
        raise ValueError(f"the radius round a click must be positive, not {radius_mm} mm")
    if not probability.shape == mask.shape == tissue.ct_hu.shape:
        raise ValueError(f"probability {probability.shape}, mask {mask.shape} and CT {tissue.ct_hu.shape} differ")
    result = np.asarray(mask) != 0
    voxels = _voxels(clicks, affine, result.shape)
    if not voxels:
        return result.copy()
    nearby = {voxel: tissue.around(voxel, radius_mm) for voxel in voxels}
    box = _union([near.box for near in nearby.values()])
    start = tuple(part.start for part in box)
    proposed = result[box]
    evidence = np.zeros(proposed.shape, np.float32)
    reached = np.zeros(proposed.shape, bool)
    logits = _logits(probability[box], proposed)
    now, said = proposed, {}
    for voxel in sorted(voxels, key=lambda voxel: not voxels[voxel]):  # inside first, as viewers list them
        near, place = nearby[voxel], tuple(np.subtract(voxel, start).tolist())
        part = tuple(slice(a.start - s, a.stop - s) for a, s in zip(near.box, start, strict=True))
        within = near.distance_mm <= radius_mm
        border_mm = float(near.distance_mm[now[part] != now[place]].min(initial=np.inf))
        reach_mm = min(radius_mm, max(SMALLEST_REACH_MM, BORDERS * border_mm))
        strength = STRENGTH * np.clip(1 - near.arrival_mm / reach_mm, 0, 1) * within
        strength[near.distance_mm <= OBEYING_RADIUS_MM] += 10 * STRENGTH
        evidence[part] += strength if voxels[voxel] else -strength
        reached[part] |= within
        said[place] = voxels[voxel]
        now = _in_one_piece_with_clicks(proposed, np.where(reached, logits + evidence > 0, proposed), said)
    result = result.copy()
    result[box] = now
    return result


def _voxels(clicks: Sequence[Click], affine: np.ndarray, shape: Sequence[int]) -> dict[tuple[int, int, int], bool]:
    voxels: dict[tuple[int, int, int], bool] = {}
    for click in clicks:
        voxel = voxel_of(click, affine, shape)
        if voxels.setdefault(voxel, click.inside) != click.inside:
            raise ValueError(f"voxel {voxel} was clicked as tumour and as no tumour: remove one of the two clicks")
    return voxels


def _logits(probability: np.ndarray, proposed: np.ndarray) -> np.ndarray:
    """The network's logits, within limits, on the side of the proposal."""
    p = np.clip(probability.astype(np.float32), 1e-6, 1 - 1e-6)
    logits = np.clip(np.log(p / (1 - p)), -LOGIT_LIMIT, LOGIT_LIMIT)
    return np.where(proposed, np.maximum(logits, LOGIT_MARGIN), np.minimum(logits, -LOGIT_MARGIN))


def _union(boxes: Sequence[tuple[slice, slice, slice]]) -> tuple[slice, slice, slice]:
    return tuple(
        slice(min(box[axis].start for box in boxes), max(box[axis].stop for box in boxes)) for axis in range(3)
    )


def _in_one_piece_with_clicks(
    proposed: np.ndarray, wanted: np.ndarray, places: dict[tuple[int, int, int], bool]
) -> np.ndarray:
    """What was added only where it hangs together with a click inside, what was taken only with one outside."""
    result = proposed.copy()
    for place, inside in places.items():
        wanted[place] = inside
    for inside in (True, False):
        clicked = [place for place, what in places.items() if what == inside]
        if not clicked:
            continue
        pieces, _ = ndimage.label(wanted == inside, structure=_PIECES)
        of_clicks = np.isin(pieces, [pieces[place] for place in clicked])
        result[of_clicks & (proposed != inside)] = inside
    return result
