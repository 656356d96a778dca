"""DICOM in, DICOM out: series, SUV, contours, 4D-CT, export, de-identification."""
