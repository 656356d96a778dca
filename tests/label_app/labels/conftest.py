"""A small oblique CT grid, masks on it, a store of labels, and a made-up PACS that it is exchanged with."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
from lib.labels import pacs_labels
from lib.labels.intake import CheckedLabel
from lib.labels.label_store import LabelStore
from lib.labels.pacs_labels import PacsLabels

from .made_up_pacs import CT, Clock, MadeUpPacs


@pytest.fixture
def grid() -> sitk.Image:
    """Empty image of 12 x 10 x 8 voxels, turned by 10 degrees about the body's axis, x mirrored."""
    image = sitk.Image([12, 10, 8], sitk.sitkUInt8)
    image.SetSpacing([1.5, 1.5, 3.0])
    image.SetOrigin([-20.0, 31.0, -104.5])
    cosine, sine = np.cos(np.deg2rad(10)), np.sin(np.deg2rad(10))
    image.SetDirection([-cosine, -sine, 0, -sine, cosine, 0, 0, 0, 1])
    return image


@pytest.fixture
def mask(grid) -> sitk.Image:
    """A box of 4 x 3 x 2 voxels."""
    return box_on(grid)


def box_on(grid: sitk.Image, value: int = 1) -> sitk.Image:
    """The box of `mask` with another value."""
    image = sitk.Image(grid)
    image[3:7, 2:5, 3:5] = value
    return image


@pytest.fixture
def store(tmp_path: Path) -> LabelStore:
    return LabelStore(tmp_path / "labels")


@pytest.fixture
def clock(monkeypatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(pacs_labels, "time", made)
    return made


@pytest.fixture
def pacs() -> MadeUpPacs:
    return MadeUpPacs()


@pytest.fixture
def exchange(pacs, store: LabelStore, mask, tmp_path, monkeypatch) -> PacsLabels:
    """Masks are the same for all; the trail says which series each version is from."""
    checked = CheckedLabel(mask, 24, 0.162, ())
    monkeypatch.setattr(pacs_labels, "label_on_ct", lambda path, seen, grid: checked)
    monkeypatch.setattr(pacs_labels, "read_grid", lambda path: None)

    def listed():
        return {
            uid: SimpleNamespace(
                uid=uid,
                study_uid="1.2",
                modality=getattr(header, "Modality", "SEG"),
                number_of_objects=pacs.objects + len(pacs.more.get(uid, [])),
            )
            for uid, header in pacs.series.items()
        }

    datastore = SimpleNamespace(
        labels=store,
        pacs=pacs,
        data_dir=tmp_path,
        label_names=("igtv",),
        label_series=listed,
        has_case=lambda uid: uid.startswith(CT),
        series=pacs.ct,
        ct_path=lambda case: tmp_path,
        accept_from_pacs=lambda case, checked, event: store.add(case, checked.mask, event),
    )
    return PacsLabels(datastore)


@pytest.fixture
def two_objects(exchange, monkeypatch):
    """SEG and RTSTRUCT of a version, without DICOM."""

    def objects(version):
        uids = {"SEG": f"2.25.7{version.number}", "RTSTRUCT": f"2.25.8{version.number}"}
        return [SimpleNamespace(case=version.case, Modality=kind, SeriesInstanceUID=uid) for kind, uid in uids.items()]

    monkeypatch.setattr(exchange, "_objects", objects)
