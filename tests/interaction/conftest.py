"""A block of tissue with two tumours the network sees badly."""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.spatial.transform import Rotation


@dataclass
class Scene:
    probability: np.ndarray
    mask: np.ndarray
    ct_hu: np.ndarray
    pet_suv: np.ndarray
    affine: np.ndarray
    hot: np.ndarray
    cold: np.ndarray


def affine_of(spacing, origin, rotation=None):
    """Voxel index -> RAS mm, with the axes turned by `rotation` in degrees."""
    matrix = np.eye(4)
    turn = np.eye(3) if rotation is None else Rotation.from_euler("xyz", rotation, degrees=True).as_matrix()
    matrix[:3, :3] = turn @ np.diag(spacing)
    matrix[:3, 3] = origin
    return matrix


@pytest.fixture
def scene():
    """Lung with two balls of 12 mm: a hot one that the proposal has, a cold one that it misses; 2 x 2 x 3 mm."""
    affine = affine_of((2.0, 2.0, 3.0), (-60, -60, -50))
    grid = np.moveaxis(np.indices((60, 60, 36)), 0, -1) * (2.0, 2.0, 3.0)
    hot = np.linalg.norm(grid - (40, 60, 54), axis=-1) <= 12
    cold = np.linalg.norm(grid - (84, 60, 54), axis=-1) <= 12
    noise = np.random.default_rng(0).normal(0, 15, hot.shape)
    ct = np.where(hot | cold, 30.0, -800.0) + noise
    pet = np.where(hot, 8.0, np.where(cold, 1.5, 0.5)).astype(np.float32)
    probability = np.where(hot, 0.95, np.where(cold, 0.02, 0.001)).astype(np.float32)
    return Scene(probability, hot.copy(), ct.astype(np.float32), pet, affine, hot, cold)
