"""Compiled mean of a volume over many displacements: seconds instead of minutes for a PET of some hundred samples."""

import numpy as np

from ..scan.numba_compile import kernel


def warp_mean(volume: np.ndarray, weight: np.ndarray, start, shifts: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Mean over t of volume(x - weight(x) shifts[t]) on a box, trilinear, beyond the faces the nearest voxel.

    Args:
        volume: (X, Y, Z) float32.
        weight: (I, J, K) float32 on the box.
        start: index of the box's first voxel in the volume, (3,).
        shifts: in voxels, (T, K, 3) float32: one for each slice of the box.
        shares: weight of each shift, (T,) float32.

    Returns:
        (I, J, K) float32.
    """
    result = np.empty(weight.shape, np.float32)
    _warp_mean(volume, weight, np.asarray(start, np.int64), shifts, shares, result)
    return result


@kernel
def _corner(place, size):
    """Lower neighbour on an axis and the part of the way to the upper one."""
    place = min(max(place, np.float32(0.0)), np.float32(size - 1))
    low = min(int(place), max(size - 2, 0))
    return low, np.float32(place - low)


@kernel
def _warp_mean(volume, weight, start, shifts, shares, result):
    size_x, size_y, size_z = volume.shape
    for i in range(weight.shape[0]):
        for j in range(weight.shape[1]):
            for k in range(weight.shape[2]):
                w = weight[i, j, k]
                if w == 0.0:
                    result[i, j, k] = volume[i + start[0], j + start[1], k + start[2]]
                    continue
                total = np.float32(0.0)
                for t in range(shifts.shape[0]):
                    x, a = _corner(np.float32(i + start[0] - w * shifts[t, k, 0]), size_x)
                    y, b = _corner(np.float32(j + start[1] - w * shifts[t, k, 1]), size_y)
                    z, c = _corner(np.float32(k + start[2] - w * shifts[t, k, 2]), size_z)
                    right, front, top = min(x + 1, size_x - 1), min(y + 1, size_y - 1), min(z + 1, size_z - 1)
                    near = (volume[x, y, z] * (1 - c) + volume[x, y, top] * c) * (1 - b)
                    near += (volume[x, front, z] * (1 - c) + volume[x, front, top] * c) * b
                    far = (volume[right, y, z] * (1 - c) + volume[right, y, top] * c) * (1 - b)
                    far += (volume[right, front, z] * (1 - c) + volume[right, front, top] * c) * b
                    total += shares[t] * (near * (1 - a) + far * a)
                result[i, j, k] = total
