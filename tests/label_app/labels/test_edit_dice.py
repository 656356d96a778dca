"""Which labels were drawn from the proposal that is kept for a case, and which only look like it."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from lib.labels.edit_dice import Edits, compare
from lib.studies.paired_datastore import PairedDatastore


class OneCase(PairedDatastore):
    """A CT of 6 slices of 40 x 40 voxels."""

    def case_ids(self):
        return ["a"]

    def ct_path(self, case):
        return self.data_dir / "ct.nii.gz"

    def pet_path(self, image_id):
        return self.ct_path(image_id)


@pytest.fixture
def store(tmp_path) -> OneCase:
    sitk.WriteImage(sitk.Image([40, 40, 6], sitk.sitkInt16), str(tmp_path / "ct.nii.gz"))
    return OneCase(tmp_path)


def box(low: int, high: int, slices: slice = slice(1, 4)) -> sitk.Image:
    """A square of `high - low` voxels in some slices."""
    voxels = np.zeros((6, 40, 40), np.uint8)
    voxels[slices, low:high, low:high] = 1
    return sitk.GetImageFromArray(voxels)


def written(image: sitk.Image, path: Path) -> Path:
    sitk.WriteImage(image, str(path))
    return path


PROPOSAL = box(10, 20)  # 3 slices of 100 voxels, 36 of them outline
CUT, ADDED = box(10, 20), box(10, 20)
CUT[:, :, 1:3] = 0
ADDED[25:35, 25:35, 1:4] = 1


@pytest.mark.parametrize(
    ("label", "edits", "drawn_from_it"),
    [
        (PROPOSAL, Edits(1.0, 1.0), True),
        (CUT, Edits(0.5, 1.0), True),  # 100 of 300 voxels are left: 200 / 400
        (ADDED, Edits(0.6667, 1.0), True),  # 300 added: 600 / 900
        # one voxel smaller all round: 64 voxels of 100 in a slice, 384 / 492; much alike, nothing in common
        (box(11, 19), Edits(0.7805, 0.0), False),
        # one voxel beside it: 81 of 100 voxels in common, 486 / 600; the outlines cross in two voxels of 36
        (box(11, 21), Edits(0.81, 0.0556), False),
        (box(25, 35), Edits(0.0, 0.0), False),
        (box(0, 0), Edits(0.0, 0.0), False),
    ],
)
def test_outline_and_dice(tmp_path, label, edits, drawn_from_it):
    found = compare(written(PROPOSAL, tmp_path / "proposal.nii.gz"), label)
    assert (found, found.drawn_from_it) == (edits, drawn_from_it)


def test_nothing_beside_nothing(tmp_path):
    """Accepted as it was; whether anybody looked at it nobody knows."""
    found = compare(written(box(0, 0), tmp_path / "proposal.nii.gz"), box(0, 0))
    assert found == Edits(1.0, 0.0) and not found.drawn_from_it


def test_what_cannot_be_compared(tmp_path):
    (tmp_path / "text.nii.gz").write_text("no image")
    small = written(sitk.Image([4, 4, 4], sitk.sitkUInt8), tmp_path / "small.nii.gz")
    for path in (small, tmp_path / "text.nii.gz", tmp_path / "none.nii.gz"):
        assert compare(path, PROPOSAL) == Edits(None, 0.0)


def submit(store, label, folder, **params):
    path = written(label, folder / "label.nii.gz")
    return store.submit_label("a", path, user="anna", params={"label_info": [{"name": "igtv"}], **params}).event


def test_a_corrected_proposal_has_its_model(store, tmp_path):
    store.record_proposal("a", written(PROPOSAL, tmp_path / "proposal.nii.gz"), "igtv", 1)
    event = submit(store, CUT, tmp_path)
    assert event["model"] == event["proposed_by"] == {"name": "igtv", "version": "1"} and event["edit_dice"] == 0.5


def test_a_contour_drawn_from_scratch_has_none(store, tmp_path):
    """Though a model was run, as viewers do by themselves; how alike they are is noted all the same."""
    store.record_proposal("a", written(PROPOSAL, tmp_path / "proposal.nii.gz"), "igtv", 1)
    event = submit(store, box(11, 21), tmp_path)
    assert event["model"] is None and event["edit_dice"] == 0.81
    assert event["proposed_by"] == {"name": "igtv", "version": "1"}


def test_a_newer_proposal_does_not_claim_what_was_drawn_from_an_older_one(store, tmp_path):
    store.record_proposal("a", written(PROPOSAL, tmp_path / "proposal.nii.gz"), "igtv", 1)
    store.record_proposal("a", written(box(9, 21), tmp_path / "proposal.nii.gz"), "igtv", 2)
    event = submit(store, CUT, tmp_path)
    assert event["model"] is None and event["proposed_by"]["version"] == "2"


@pytest.mark.parametrize(
    ("told", "model"),
    [
        ("igtv", {"name": "igtv", "version": "2"}),  # of the proposal that is here
        ("igtv@1", {"name": "igtv", "version": "1"}),
        ("somebody's", {"name": "somebody's", "version": ""}),
        ("", None),
    ],
)
def test_what_the_client_says_counts(store, tmp_path, told, model):
    store.record_proposal("a", written(PROPOSAL, tmp_path / "proposal.nii.gz"), "igtv", 2)
    event = submit(store, PROPOSAL, tmp_path, model=told)
    assert event["model"] == model and event["edit_dice"] == 1.0
    assert event["proposed_by"] == {"name": "igtv", "version": "2"}


def test_without_a_proposal(store, tmp_path):
    event = submit(store, PROPOSAL, tmp_path)
    assert (event["model"], event["edit_dice"], event["proposed_by"]) == (None, None, None)
