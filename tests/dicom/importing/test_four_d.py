"""The real 4D-CT: phases, average and MIP, exact unions, the motion report."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
from igtv.dicom.errors import DicomError
from igtv.dicom.four_d import read_phases
from igtv.dicom.phases import FourD, PhaseName, find_four_d
from igtv.dicom.series import find_series

# voxels of the GTV on phase 0 (x, y, z), and its shift in voxels per phase: there and back again, 3 slices of 6 mm
LOW, HIGH = np.array([30, 48, 24]), np.array([36, 53, 27])
SHIFTS = [(0, 0, z) for z in (0, 0, -1, -1, -2, -3, -2, -2, -1, 0)]


@pytest.fixture(scope="module")
def phases(four_d_dir):
    """Phase name -> (series, image), read apart from the importer's way by SimpleITK."""
    (four_d,) = find_four_d(find_series(four_d_dir)[0])
    images = {}
    for name, series in zip(four_d.names, four_d.series, strict=True):
        folder = str(series.files[0].parent)
        images[name] = (series, sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(folder)))
    return images


@pytest.fixture(scope="module")
def imported(four_d_dir, run_import, tmp_path_factory):
    folder = tmp_path_factory.mktemp("four_d") / "data"
    run_import(four_d_dir, folder)
    return folder


@pytest.fixture
def contoured(four_d_dir, phases, dicom, tmp_path):
    """`contoured(number of phases)` -> a folder with the 4D-CT and one RTSTRUCT per phase, and the expected masks."""

    def make(number):
        folder = tmp_path / "dicom"
        folder.mkdir()
        (folder / "ct").symlink_to(four_d_dir)
        folder_of_masks = []
        for (name, (series, image)), shift in list(zip(phases.items(), SHIFTS, strict=True))[:number]:
            low, high = LOW + shift, HIGH + shift
            mask = np.zeros(image.GetSize()[::-1], bool)
            mask[low[2] : high[2], low[1] : high[1], low[0] : high[0]] = True
            folder_of_masks.append(mask)
            dicom.rtstruct(
                folder / f"rs{name.percent:g}",
                {"GTV": dicom.box(image, low, high)},
                patient="",
                study=series.study_uid,
                frame=series.frame_of_reference_uid,
                refers_to=[series.series_uid],
            )
        return folder, folder_of_masks

    return make


def read(folder, name):
    (case,) = [path for path in folder.iterdir() if path.is_dir()]
    return sitk.ReadImage(case / name)


def test_one_patient_with_ten_sorted_phases(imported, log_of):
    (row,) = log_of(imported).values()
    assert [entry["phase"] for entry in row["source"]["phases"]] == [f"{value} %" for value in range(0, 100, 10)]
    assert row["ct_kind"] == "average"
    assert row["spacing_mm"] == [5.0, 5.0, 6.0]
    assert any("SliceThickness says 2 mm, positions are 6 mm" in words for words in row["decisions"])
    datalist = json.loads((imported / "dataset.json").read_text())
    assert datalist["training"] == datalist["testing"] == []


def test_average_and_mip_are_those_of_the_phases_read_by_another_program(imported, phases):
    stack = np.stack([sitk.GetArrayFromImage(image).astype(float) for _, image in phases.values()])
    average, mip = read(imported, "average.nii.gz"), read(imported, "mip.nii.gz")
    assert average.GetSpacing() == pytest.approx((5.0, 5.0, 6.0))
    assert average.GetOrigin() == pytest.approx(next(iter(phases.values()))[1].GetOrigin(), abs=1e-4)
    assert np.abs(sitk.GetArrayFromImage(average) - stack.mean(axis=0)).max() <= 0.5
    assert np.array_equal(sitk.GetArrayFromImage(mip), stack.max(axis=0))
    assert np.array_equal(sitk.GetArrayFromImage(read(imported, "ct.nii.gz")), sitk.GetArrayFromImage(average))


def test_without_contours_the_report_has_the_lung_and_no_invented_amplitude(imported):
    (path,) = imported.glob("*/motion.json")
    report = json.loads(path.read_text())
    volumes = [row["lung_volume_ml"] for row in report["phases"]]
    assert report["amplitude_mm"] is None and "not measured" in report["measured"]
    # phase 0 is the end of inhalation; a breath at rest moves a few hundred millilitres
    assert volumes.index(min(volumes)) in (5, 6, 7) and 200 < max(volumes) - min(volumes) < 1000
    assert path.with_name("motion.png").is_file()


def test_union_of_a_gtv_per_phase_is_exact(contoured, run_import, log_of, tmp_path):
    source, masks = contoured(10)
    run_import(source, tmp_path / "data")
    label = read(tmp_path / "data", "label.nii.gz")
    assert np.array_equal(sitk.GetArrayFromImage(label), np.logical_or.reduce(masks))
    (row,) = log_of(tmp_path / "data").values()
    assert row["label_kind"] == "igtv" and any("union of the GTVs of 10 phases" in words for words in row["decisions"])
    motion = row["motion"]
    assert motion["amplitude_mm"] == {"si": 18.0, "ap": 0.0, "lr": 0.0, "largest_distance": 18.0}
    assert motion["volume_change"] == 1.0 and motion["manage_motion"] is True
    volume = 6 * 5 * 3 * 5 * 5 * 6 / 1000
    assert [entry["volume_ml"] for entry in motion["phases"]] == [volume] * 10


def test_a_gtv_on_one_phase_only_is_said_plainly(contoured, run_import, log_of, tmp_path):
    source, masks = contoured(1)
    run_import(source, tmp_path / "data")
    (row,) = log_of(tmp_path / "data").values()
    assert (row["label_kind"], row["ct_kind"], row["phase"]) == ("gtv", "phase", "0 %")
    assert any("GTV on phase 0 % only. It is no IGTV" in words for words in row["decisions"])
    assert np.array_equal(sitk.GetArrayFromImage(read(tmp_path / "data", "label.nii.gz")), masks[0])
    assert "estimated" in row["motion"]["measured"]


def test_a_gtv_on_some_phases_is_refused(contoured, run_import, log_of, tmp_path):
    source, masks = contoured(4)
    with pytest.raises(ValueError, match=r"4 of 10 phases have a GTV, phase 40 %.*--allow_missing_phases"):
        run_import(source, tmp_path / "data")
    run_import(source, tmp_path / "data", allow_missing_phases=True)
    label = sitk.GetArrayFromImage(read(tmp_path / "data", "label.nii.gz"))
    assert np.array_equal(label, np.logical_or.reduce(masks))


def test_one_structure_set_with_a_roi_per_phase(four_d_dir, phases, dicom, run_import, tmp_path):
    """Names such as Tumor_c40 carry the phase; nodes and organs of the same phase do not disturb."""
    folder = tmp_path / "dicom"
    folder.mkdir()
    (folder / "ct").symlink_to(four_d_dir)
    rois = {}
    for name, shift in zip(phases, SHIFTS, strict=True):
        box = dicom.box(phases[name][1], LOW + shift, HIGH + shift)
        rois |= {f"Tumor_c{name.percent:02g}": box, f"LN_c{name.percent:02g}": box, f"Carina_c{name.percent:02g}": box}
    series = next(iter(phases.values()))[0]
    dicom.rtstruct(folder / "rs", rois, "", series.study_uid, series.frame_of_reference_uid)
    run_import(folder, tmp_path / "data")
    label = sitk.GetArrayFromImage(read(tmp_path / "data", "label.nii.gz"))
    x, y, z = HIGH - LOW
    assert label.sum() == x * y * (z + 3)


def test_motion_estimated_from_one_phase_agrees_with_an_independent_one(four_d_dir, shared_dir):
    """Within the size of a voxel of what other software found by registration (motion.json of the data)."""
    from igtv.dicom.motion_report import motion_by_registration

    (four_d,) = find_four_d(find_series(four_d_dir)[0])
    images = {name: image for name, image, _ in read_phases(four_d)}
    first = four_d.names[0]
    gtv = sitk.ReadImage(shared_dir / "data" / "ct4d" / "gtv_ph00_semi.nii.gz")
    mask = sitk.Resample(gtv, images[first], sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    report = motion_by_registration(images.items(), images[first], mask, first)
    theirs = json.loads((shared_dir / "data" / "ct4d" / "motion.json").read_text())["displacement_lps_mm"]
    ours = np.array([row["centroid_lps_mm"] for row in report["phases"]])
    assert np.abs(ours - ours[0] - np.array(list(theirs.values()))).max() < 1.7
    assert report["amplitude_mm"]["si"] == pytest.approx(7.4, abs=1.7) and report["manage_motion"]


def test_phases_on_grids_that_drift_apart_are_refused(monkeypatch):
    """A step of a hundredth of a mm more is half a voxel at the far end; the same shift of all is rounding."""

    class Phase:
        label = "CT 50%"

        def __init__(self, spacing, origin):
            self.image = sitk.Image([64, 4, 4], sitk.sitkInt16)
            self.image.SetSpacing((spacing, 1.0, 2.0))
            self.image.SetOrigin((origin, 0.0, 0.0))

    monkeypatch.setattr("igtv.dicom.four_d.read_volume", lambda phase: (phase.image, []))
    names = (PhaseName(0), PhaseName(50))
    near = FourD(names, (Phase(1.0, 0.0), Phase(1.0, 0.02)), ())
    assert [name for name, _, _ in read_phases(near)] == list(names)
    with pytest.raises(DicomError, match="phase 50 % .* lies on another grid than phase 0 %"):
        list(read_phases(FourD(names, (Phase(1.0, 0.0), Phase(1.009, 0.0)), ())))
