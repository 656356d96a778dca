"""One DICOM file read whole: damage is an error, never a shorter value."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pydicom
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileDataset

from .errors import DicomError

_UNDEFINED_LENGTH = 0xFFFFFFFF


@contextmanager
def reading(path: str | Path) -> Iterator[FileDataset]:
    """Yield the data set of a file; whatever the block finds damaged in it becomes a `DicomError` with its name.

    Raises:
        DicomError: when the file is missing, no DICOM, cut off or damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise DicomError(f"{path.name}: no such file")
    try:
        with warnings.catch_warnings():
            # strings longer than their type allows are common and harmless
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(path, force=True)
            refuse_cut_off(dataset)
            yield dataset
    except DicomError as error:
        raise DicomError(f"{path.name}: {error}") from error
    except Exception as error:  # a damaged file breaks the parser in any way it likes; the run must go on
        reason = f"is damaged and cannot be read ({type(error).__name__}); copy or export it again"
        raise DicomError(f"{path.name}: {reason}") from error


def refuse_cut_off(dataset: pydicom.Dataset) -> None:
    """Raise where a value is shorter than its length says: pydicom takes what there is and says nothing.

    Raises:
        DicomError: with what to do.
    """
    for tag in list(dataset.keys()):
        element = dataset.get_item(tag)
        if (
            isinstance(element, RawDataElement)
            and isinstance(element.value, bytes)
            and element.length != _UNDEFINED_LENGTH
            and len(element.value) < element.length
        ):
            raise DicomError("is cut off; copy or export it again")
        known = dictionary_has_tag(tag) and dictionary_VR(tag) == "SQ"
        if element.VR == "SQ" or (element.VR in (None, "UN") and known):
            for item in dataset[tag].value or ():
                refuse_cut_off(item)
