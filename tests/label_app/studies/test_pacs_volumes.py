"""Series of a PACS as volumes: whole numbers that do not wrap, and nothing fetched twice; the PACS is made up."""

import os

import numpy as np
import pytest
import SimpleITK as sitk
from lib.studies import pacs_volumes
from lib.studies.pacs_listing import PacsSeries
from lib.studies.pacs_volumes import PacsVolumes


class ShortPacs:
    """Sends as many objects as `sends` says, whatever it lists."""

    sends, downloads = 2, 0

    def download(self, study_uid, uid, folder):
        self.downloads += 1
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(self.sends):
            (folder / f"{number:06d}.dcm").touch()
        return folder


@pytest.fixture
def pacs() -> ShortPacs:
    return ShortPacs()


@pytest.fixture
def hu(monkeypatch) -> np.ndarray:
    """What every series holds; to be changed in place."""
    values = np.zeros((2, 3, 4), np.float32)
    monkeypatch.setattr(pacs_volumes, "read_volume", lambda folder: (sitk.GetImageFromArray(values), []))
    return values


def listed(number: int) -> PacsSeries:
    return PacsSeries("1.2.3", "1.2", "CT", "P1", number, "")


def test_metal_beyond_16_bits_does_not_become_air(pacs, hu, tmp_path):
    hu[0, 0, :3] = 50000, 32767.6, -40000
    path = PacsVolumes(pacs, tmp_path).ct(listed(2))
    ct = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    assert ct[0, 0].tolist() == [32767, 32767, -32768, 0]


def test_what_came_short_once_comes_whole_some_minutes_later(pacs, hu, tmp_path):
    volumes = PacsVolumes(pacs, tmp_path)
    volumes.ct(listed(3))
    pacs.sends = 3
    for note in tmp_path.rglob("*.json"):
        then = note.stat().st_mtime - pacs_volumes.ASKED_AGAIN_SECONDS
        os.utime(note, (then, then))
    assert not volumes.is_here(listed(3), "ct")
    volumes.ct(listed(3))
    assert pacs.downloads == 2 and len(list(volumes.dicom(listed(3)).glob("*.dcm"))) == 3
    assert volumes.is_here(listed(3), "ct")


def test_a_pacs_that_lists_more_than_it_sends_is_asked_once(pacs, hu, tmp_path, caplog):
    """For some minutes, and again as soon as it lists more, also after a restart."""
    for volumes in (PacsVolumes(pacs, tmp_path), PacsVolumes(pacs, tmp_path)):
        for _ in range(2):
            assert volumes.ct(listed(3)).is_file() and volumes.dicom(listed(3)).is_dir()
            assert volumes.is_here(listed(3), "ct") and not volumes.is_here(listed(4), "ct")
    assert pacs.downloads == 1 and "lists 3 objects and sent 2" in caplog.text
    pacs.sends = 4
    volumes.ct(listed(4))
    volumes.dicom(listed(4))
    assert pacs.downloads == 2 and volumes.is_here(listed(4), "ct")
