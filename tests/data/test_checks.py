import logging

import nibabel as nib
import numpy as np
import pytest
from igtv.data.checks import check_cases, find_problem
from igtv.data.datalist import read_datalist, split_cases

SHAPE = (20, 24, 12)
AFFINE = np.array([[-2.0, 0, 0, 20], [0, -2.0, 0, 30], [0, 0, 3.0, -40], [0, 0, 0, 1]])


def moved(millimetres, axis=2):
    affine = AFFINE.copy()
    affine[axis, 3] += millimetres
    return affine


def filled(value, dtype=np.float32):
    return np.full(SHAPE, value, dtype)


def one_voxel(value, others=0.0):
    voxels = np.random.default_rng(0).uniform(0, 3, SHAPE).astype(np.float32) + others
    voxels[3, 3, 3] = value
    return voxels


def label_of(*values):
    voxels = np.zeros(SHAPE, np.uint8)
    voxels[8, 8, : len(values)] = values
    return voxels


BAD = [
    ({"pet": one_voxel(np.nan)}, "pet .*pet.nii.gz holds 1 NaN or infinite voxels"),
    ({"ct": one_voxel(np.inf)}, "ct .*ct.nii.gz holds 1 NaN or infinite voxels"),
    (
        {"pet": np.random.default_rng(0).uniform(0, 30000, SHAPE)},
        "is not in SUV: its 99.9th percentile is 29.*, above 150, as in Bq/ml",
    ),
    ({"pet": filled(0)}, "holds 0 everywhere: SUV"),
    ({"pet": one_voxel(-900.0)}, "goes down to -900: SUV .* is it a CT?"),
    ({"pet": filled(0) + one_voxel(0) * 0.01}, "maximum of 0.0[23].*too low for SUV"),
    (
        {"ct": np.random.default_rng(0).integers(0, 2500, SHAPE).astype(np.int16)},
        "is not in HU: its values go from 0 to 2",
    ),
    ({"ct": one_voxel(-1.0)}, "is not in HU: its values go from -1 to 2.99"),
    ({"pet_affine": moved(500)}, "covers 0% of the CT's volume, at least 50% is needed.*CT .*-40..-7, PET .*460..493"),
    ({"pet_affine": moved(22)}, "covers 3.% of the CT's volume"),
    ({"pet_affine": moved(14), "label": label_of(1, 1, 1)}, "covers 0% of the tumour in the label"),
    ({"label": np.zeros(SHAPE, np.uint8)}, "label .*label.nii.gz is empty"),
    ({"label": label_of(1, 2, 255)}, "holds the values 0, 1, 2, 255: 0 .* and 1 .* are expected"),
    ({"label": label_of(1, 1) * 1.002}, "holds the values 0, 1.002: 0 "),
    ({"label": label_of(1, 1) * 1e-9}, "label .*label.nii.gz is empty"),
    ({"label": np.ones((20, 24, 11), np.uint8)}, r"label .* has the shape \(20, 24, 11\), its CT \(20, 24, 12\)"),
    ({"label_affine": moved(1.5)}, "is not on the CT's grid: corners up to 1.5 mm apart"),
    ({"pet": np.ones((4, 4, 4, 2), np.float32)}, r"has the shape \(4, 4, 4, 2\): one 3-D volume"),
]


def test_sound_cases_pass_in_order(make_case):
    cases = [make_case("P1"), make_case("P2")]
    assert check_cases(cases, progress=False) == (cases, [])
    assert check_cases([], progress=False) == ([], [])


@pytest.mark.parametrize(("changes", "message"), BAD)
def test_each_fault_has_its_text(make_case, changes, message):
    with pytest.raises(ValueError, match=f"(?s)1 of 2 cases cannot be used:\n  P2: [^\n]*{message}.*skip_bad_cases"):
        check_cases([make_case("P1"), make_case("P2", **changes)], progress=False)


def test_odd_but_sound_cases_pass(make_case):
    wide = np.diag([8.0, 8.0, 8.0, 1.0])
    wide[:3, 3] = (-80, -80, -80)
    assert find_problem(make_case("other_grid", pet_affine=wide)) is None
    angle = np.radians(30)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    oblique = turn @ AFFINE
    assert find_problem(make_case("oblique", ct_affine=oblique, pet_affine=oblique, label_affine=oblique)) is None
    assert find_problem(make_case("bladder", pet=one_voxel(140.0))) is None
    assert find_problem(make_case("undershoot", pet=one_voxel(-0.3))) is None
    assert find_problem(make_case("float label", label=label_of(1, 1).astype(np.float64))) is None
    scaled = label_of(1, 1) * np.float64(np.float32(1 / 255)) * 255  # as with a scale factor of 1/255 in the header
    assert scaled.max() != 1 and find_problem(make_case("scale factor", label=scaled)) is None
    assert find_problem(make_case("rounding", label_affine=moved(0.01))) is None


def test_files_that_are_missing_or_unreadable(make_case, tmp_path):
    missing = {**make_case("P1"), "pet": str(tmp_path / "none.nii.gz")}
    assert find_problem(missing) == f"pet {tmp_path}/none.nii.gz does not exist"
    garbage = tmp_path / "garbage.nii.gz"
    garbage.write_bytes(b"no image")
    assert "garbage.nii.gz cannot be read" in find_problem({**make_case("P1"), "ct": str(garbage)})
    cut = make_case("P2")
    content = (tmp_path / "P2" / "pet.nii.gz").read_bytes()
    (tmp_path / "P2" / "pet.nii.gz").write_bytes(content[: len(content) // 2])
    assert "pet.nii.gz cannot be read" in find_problem(cut)
    text = tmp_path / "notes.txt"
    text.write_text("x")
    assert "is not a NIfTI file" in find_problem({**make_case("P1"), "ct": str(text)})


def test_a_header_without_a_place(make_case):
    case = make_case("P1")
    image = nib.load(case["ct"])
    image.header["srow_z"] = 0
    nib.save(nib.Nifti1Image(np.asanyarray(image.dataobj), None, image.header), case["ct"])
    assert "has an affine without volume" in find_problem(case)


def test_colours_are_no_numbers(make_case, tmp_path):
    case = make_case("P1")
    colours = np.zeros(SHAPE, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(colours, AFFINE), case["pet"])
    assert "plain numbers are expected" in find_problem(case)


def test_a_case_without_label(make_case):
    case = make_case("P1")
    del case["label"]
    assert find_problem(case, need_label=False) is None
    assert find_problem(case) == "it has no `label` in the datalist"


def test_bad_cases_can_be_left_out(make_case, caplog):
    good, bad = make_case("P1"), make_case("P2", label=np.zeros(SHAPE, np.uint8))
    with caplog.at_level(logging.WARNING):
        kept, left_out = check_cases([bad, good], skip_bad_cases=True, progress=False)
    assert kept == [good] and [entry.case for entry in left_out] == ["P2"]
    assert "is empty" in left_out[0].problem and "case left out: P2" in caplog.text
    with pytest.raises(ValueError, match="none of 1 cases can be used"):
        check_cases([bad], skip_bad_cases=True, progress=False)


def test_real_cases_are_sound(shared_dir):
    listing = read_datalist(shared_dir / "data" / "petct_gtv" / "dataset.json")
    cases = split_cases(listing, 0, "validation")[:3]
    assert check_cases(cases, progress=False) == (cases, [])
