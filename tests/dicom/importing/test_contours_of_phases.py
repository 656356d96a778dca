"""A PET with a 4D-CT and contours on its phases: which CT they land on, and what the label is called."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk

PHASES = (0, 25, 50, 75)
# two boxes (low, high) in voxels: 3 x 3 x 3 = 27 for an IGTV, 2 x 2 x 2 = 8 for a GTV
LARGE, SMALL = ((11, 10, 5), (14, 13, 8)), ((11, 10, 5), (13, 12, 7))


@pytest.fixture
def breathing(dicom, tmp_path):
    """A PET and a 4D-CT of four phases in one frame: folder, phase -> series UID and HU, and a writer of contours."""
    folder = tmp_path / "dicom"
    ct = dicom.body()
    dicom.series(folder, dicom.pet(ct), "PT", description="PET AC")
    images = {phase: sitk.Round(dicom.body(seed=phase)) for phase in PHASES}
    uids = {phase: dicom.series(folder, image, description=f"4D {phase}%") for phase, image in images.items()}

    def ct_of_pet():
        return dicom.series(folder, ct, description="CT AC")

    def contours(name, boxes, refers_to=()):
        rois = {roi: dicom.box(ct, *box) for roi, box in boxes.items()}
        dicom.rtstruct(folder / name, rois, refers_to=refers_to, description=name)

    hu = {phase: sitk.GetArrayFromImage(image) for phase, image in images.items()}
    return SimpleNamespace(folder=folder, uids=uids, hu=hu, ct=ct, contours=contours, ct_of_pet=ct_of_pet)


@pytest.fixture
def outcome(breathing, run_import, log_of, tmp_path):
    """`outcome(**options)` -> the case's row in the log, its CT and its label as arrays."""

    def run(**options):
        run_import(breathing.folder, tmp_path / "data", **options)
        ct, label = (
            sitk.GetArrayFromImage(sitk.ReadImage(tmp_path / "data" / "P1" / f"{name}.nii.gz"))
            for name in ("ct", "label")
        )
        return SimpleNamespace(row=log_of(tmp_path / "data")["P1"], ct=ct, label=label)

    return run


@pytest.mark.parametrize(("igtv", "gtv"), [("IGTV", "GTV_c50"), ("ITV", "GTV_50"), ("ITV", "GTV")])
@pytest.mark.parametrize("on_phase", [False, True])
def test_an_igtv_lies_on_the_average_also_beside_a_gtv_of_one_phase(igtv, gtv, on_phase, breathing, outcome):
    breathing.contours("rs", {igtv: LARGE, gtv: SMALL}, [breathing.uids[50]] if on_phase else ())
    found = outcome()
    assert (found.row["label_kind"], found.row["ct_kind"]) == ("igtv", "average") and "phase" not in found.row
    assert found.row["source"]["label"][0]["roi"] == [igtv] and found.label.sum() == 27
    assert np.abs(found.ct - np.mean(list(breathing.hu.values()), axis=0)).max() <= 0.5


MOMENTS = "the CT is phase 50 %, the PET a mean over the breathing: they are of different moments"


@pytest.mark.parametrize("beside_ct_of_pet", [False, True])
def test_a_gtv_of_one_phase_lies_on_that_phase(beside_ct_of_pet, breathing, outcome, caplog):
    own = breathing.ct_of_pet() if beside_ct_of_pet else None
    breathing.contours("rs", {"GTV": SMALL}, [breathing.uids[50]])
    found = outcome()
    assert (found.row["label_kind"], found.row["ct_kind"], found.row["phase"]) == ("gtv", "phase", "50 %")
    assert np.array_equal(found.ct, breathing.hu[50]) and found.label.sum() == 8
    assert MOMENTS in found.row["decisions"] and f"case P1: {MOMENTS}" in caplog.text
    source = found.row["source"]
    assert [one["series_uid"] for one in source["ct"]] == [breathing.uids[50]]
    assert source.get("pet_ct", {}).get("series_uid") == own


def test_a_gtv_of_one_phase_lies_on_the_ct_that_the_user_names(breathing, outcome):
    own = breathing.ct_of_pet()
    breathing.contours("rs", {"GTV": SMALL}, [breathing.uids[50]])
    found = outcome(target_ct="CT AC")
    assert (found.row["label_kind"], found.row["ct_kind"]) == ("gtv", "free breathing")
    assert found.row["source"]["ct"][0]["series_uid"] == own and found.label.sum() == 8
    words = "the GTV is of phase 50 %, the CT of --target_ct is not: they are of different moments"
    assert words in found.row["decisions"] and MOMENTS not in found.row["decisions"]


def test_a_roi_that_the_user_calls_an_igtv_is_one_in_the_datalist(breathing, outcome, tmp_path):
    """Also drawn on one phase: it belongs on the average, and no motion is estimated from it as that phase's GTV."""
    breathing.contours("rs", {"Zielvolumen 4D": LARGE}, [breathing.uids[50]])
    found = outcome(roi="Zielvolumen 4D", kind="igtv")
    (item,) = json.loads((tmp_path / "data" / "dataset.json").read_text())["training"]
    assert (item["label_kind"], item["ct_kind"]) == ("igtv", "average") and found.label.sum() == 27
    assert found.row["motion"]["amplitude_mm"] is None
    found = outcome(roi="Zielvolumen 4D", kind="gtv")
    assert (found.row["label_kind"], found.row["phase"]) == ("gtv", "50 %")
