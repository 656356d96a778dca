"""What an object with contours refers to."""

from pydicom.dataset import Dataset


def referenced_series(header: Dataset) -> tuple[str, ...]:
    """UIDs of the image series that an RTSTRUCT or DICOM SEG says it was drawn on, each once; they may be stale."""
    uids = [
        series.get("SeriesInstanceUID")
        for frame in header.get("ReferencedFrameOfReferenceSequence") or ()
        for study in frame.get("RTReferencedStudySequence") or ()
        for series in study.get("RTReferencedSeriesSequence") or ()
    ]
    uids += [item.get("SeriesInstanceUID") for item in header.get("ReferencedSeriesSequence") or ()]
    return tuple(dict.fromkeys(str(uid) for uid in uids if uid))
