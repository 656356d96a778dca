"""DICOM SEG that OHIF's exporter wrote: its slices can lie in reverse order (OHIF/Viewers issue 5183)."""

from pydicom.dataset import Dataset

# what OHIF's exporter (dcmjs) writes where others name themselves
OHIF_MAKER = {
    "Manufacturer": "Unspecified",
    "ManufacturerModelName": "Unspecified",
    "DeviceSerialNumber": "1",
    "SoftwareVersions": "0",
}


def exported_by_ohif(header: Dataset) -> bool:
    """Whether OHIF's exporter wrote an object; in which order its slices are then, nothing in the object tells."""
    version = str(getattr(getattr(header, "file_meta", None), "ImplementationVersionName", ""))
    return version.upper().startswith(("OHIF", "DCMJS")) or all(
        str(header.get(name, "")) == value for name, value in OHIF_MAKER.items()
    )
