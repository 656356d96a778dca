"""Which voxels of a mask are inside: 0 and 1 as files hold them."""

import numpy as np

# A file with a scale factor, such as 255 x 1/255, does not give an exact 1; a probability map lies far beyond this.
VALUE_TOLERANCE = 1e-3


def inside_and_others(voxels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tell the voxels of a mask apart.

    Args:
        voxels: numbers of any shape; real ones may be rounded by up to `VALUE_TOLERANCE`.

    Returns:
        Boolean array of the same shape, true at 1; and the values that are neither 0 nor 1, NaN among them.
    """
    if voxels.dtype.kind == "f":
        inside, outside = abs(voxels - 1) <= VALUE_TOLERANCE, abs(voxels) <= VALUE_TOLERANCE
    else:
        inside, outside = voxels == 1, voxels == 0
    return inside, voxels[~(inside | outside)]
