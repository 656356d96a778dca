"""DICOM in, DICOM out: series, SUV, contours, 4D-CT, export, de-identification."""

from .rtstruct_reader import read_contours
from .suv import read_suv, suv_factors

__all__ = ["read_contours", "read_suv", "suv_factors"]
