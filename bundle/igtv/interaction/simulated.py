"""An annotator who is simulated: clicks in the largest error, a little off its middle, again and again."""

from collections.abc import Iterator

import numpy as np
from scipy import ndimage

from .clicks import Click, clicks_from_voxels
from .likeness import TissueLikeness
from .resegmentation import RADIUS_MM, resegment

JITTER_MM = 5.0
TRIES = 100


def next_click(
    mask: np.ndarray, label: np.ndarray, affine: np.ndarray, rng: np.random.Generator, jitter_mm: float = JITTER_MM
) -> Click | None:
    """Where an annotator who knows the truth would click next.

    The largest connected error (missing or surplus tumour), at the point deepest inside it, moved by normally
    distributed steps; drawn again until it lies in the error.

    Args:
        mask, label: boolean (X, Y, Z), now and true.
        affine: 4 x 4, voxel index -> patient RAS mm.
        rng: source of the jitter.
        jitter_mm: standard deviation of the step along each axis.

    Returns:
        The click; None where mask and label agree.
    """
    errors, count = ndimage.label(mask != label)
    if not count:
        return None
    sizes = np.bincount(errors.ravel())
    sizes[0] = 0
    largest = int(sizes.argmax())
    box = ndimage.find_objects(errors)[largest - 1]
    error = errors[box] == largest
    spacing = np.linalg.norm(np.asarray(affine)[:3, :3], axis=0)
    depth = ndimage.distance_transform_edt(np.pad(error, 1), sampling=spacing)[1:-1, 1:-1, 1:-1]
    deepest = np.array(np.unravel_index(depth.argmax(), depth.shape))
    voxel = deepest
    for _ in range(TRIES):
        moved = np.round(deepest + rng.normal(0, jitter_mm, 3) / spacing).astype(int)
        if (moved >= 0).all() and (moved < error.shape).all() and error[tuple(moved)]:
            voxel = moved
            break
    voxel = voxel + [part.start for part in box]
    return clicks_from_voxels([voxel], affine, bool(label[tuple(voxel)]))[0]


def corrections(
    probability: np.ndarray,
    mask: np.ndarray,
    label: np.ndarray,
    tissue: TissueLikeness,
    affine: np.ndarray,
    count: int,
    rng: np.random.Generator,
    radius_mm: float = RADIUS_MM,
) -> Iterator[tuple[list[Click], np.ndarray]]:
    """Click `count` times, each time where the largest error is then.

    Args:
        probability, mask, tissue, affine, radius_mm: as for `resegment`.
        label: the truth, (X, Y, Z).
        count: clicks; when mask and truth agree, no further ones come but the mask still does.
        rng: source of the jitter.

    Yields:
        All clicks so far and the mask they make of the proposal, as viewers send them: `count` times.
    """
    label = np.asarray(label) != 0
    now = np.asarray(mask) != 0
    clicks: list[Click] = []
    for _ in range(count):
        click = next_click(now, label, affine, rng)
        if click is not None:
            clicks.append(click)
            now = resegment(probability, mask, tissue, affine, clicks, radius_mm)
        yield list(clicks), now
