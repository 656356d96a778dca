"""DICOM in, DICOM out: series, SUV, contours, 4D-CT, export, de-identification."""

from .rtstruct_reader import read_contours

__all__ = ["read_contours"]
