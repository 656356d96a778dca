"""Where the cases come from, and the error for each thing that can be wrong with them."""

import json

import pytest
from igtv.inference.dicom_cases import DicomCases
from igtv.inference.input_cases import check_case_name, find_cases


def add_case(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"x")
    return folder


def test_pair_is_named_by_the_folder_of_the_ct(tmp_path, monkeypatch):
    folder = add_case(tmp_path / "P01", "thorax.nii.gz", "suv.nii")
    cases = find_cases(ct_path=folder / "thorax.nii.gz", pet_path=folder / "suv.nii")
    assert cases == [{"ct": str(folder / "thorax.nii.gz"), "pet": str(folder / "suv.nii"), "case": "P01"}]
    monkeypatch.chdir(folder)
    assert find_cases(ct_path="thorax.nii.gz", pet_path="suv.nii")[0]["case"] == "P01"


def test_pair_wins_over_the_default_folder(tmp_path):
    add_case(tmp_path / "A", "ct.nii.gz", "pet.nii.gz")
    pair = add_case(tmp_path / "B", "ct.nii.gz", "pet.nii.gz")
    cases = find_cases(tmp_path, ct_path=pair / "ct.nii.gz", pet_path=pair / "pet.nii.gz")
    assert [case["case"] for case in cases] == ["B"]


def test_folder_of_cases_sorted_other_folders_ignored(tmp_path):
    add_case(tmp_path / "b", "ct.nii", "pet.nii.gz")
    add_case(tmp_path / "a", "ct.nii.gz", "pet.nii.gz", "gtv.nii.gz")
    add_case(tmp_path / "notes", "readme.txt")
    add_case(tmp_path / ".hidden", "ct.nii.gz")
    cases = find_cases(tmp_path)
    assert [case["case"] for case in cases] == ["a", "b"]
    assert cases[1]["ct"].endswith("b/ct.nii") and set(cases[0]) == {"ct", "pet", "case"}
    assert [case["case"] for case in find_cases(tmp_path / "a")] == ["a"]


def test_missing_pet_is_an_error_never_filled(tmp_path):
    add_case(tmp_path / "a", "ct.nii.gz", "pet.nii.gz")
    add_case(tmp_path / "b", "ct.nii.gz")
    add_case(tmp_path / "c", "pet.nii.gz")
    with pytest.raises(FileNotFoundError, match=r"b \(no PET\), c \(no CT\)"):
        find_cases(tmp_path)
    with pytest.raises(ValueError, match="pet_path is missing"):
        find_cases(ct_path=tmp_path / "a" / "ct.nii.gz")
    with pytest.raises(FileNotFoundError, match="Case b: PET file .* does not exist"):
        find_cases(ct_path=tmp_path / "b" / "ct.nii.gz", pet_path=tmp_path / "b" / "pet.nii.gz")


def write_datalist(path, **lists):
    path.write_text(json.dumps(lists))
    return path


def test_datalist_with_ids_labels_and_sections(tmp_path):
    for name in ("a", "b"):
        add_case(tmp_path / "data" / name, "ct.nii.gz", "pet.nii.gz", "gtv.nii.gz")
    entries = [{"ct": f"{name}/ct.nii.gz", "pet": f"{name}/pet.nii.gz"} for name in ("a", "b")]
    entries[0] |= {"patient_id": "P7", "label": "a/gtv.nii.gz"}
    path = write_datalist(tmp_path / "list.json", training=entries[:1], testing=entries[1:])
    cases = find_cases(tmp_path / "data", path)
    assert [case["case"] for case in cases] == ["P7", "b"]
    assert cases[0]["label"] == str(tmp_path / "data" / "a" / "gtv.nii.gz") and "label" not in cases[1]
    assert [case["case"] for case in find_cases(tmp_path / "data", path, section="testing")] == ["b"]
    with pytest.raises(FileNotFoundError, match="no case under 'validation'"):
        find_cases(tmp_path / "data", path, section="validation")
    with pytest.raises(ValueError, match="section is 'train'"):
        find_cases(tmp_path / "data", path, section="train")


def test_a_file_that_a_datalist_names_in_vain_does_not_stop_the_others(tmp_path):
    """It fails with its reason when its turn comes."""
    add_case(tmp_path / "a", "ct.nii.gz", "pet.nii.gz")
    entries = [{"ct": f"{name}/ct.nii.gz", "pet": f"{name}/pet.nii.gz"} for name in ("a", "gone")]
    cases = find_cases(datalist=write_datalist(tmp_path / "list.json", testing=entries))
    assert [case["case"] for case in cases] == ["a", "gone"]


def test_dataset_json_in_the_folder_is_read(tmp_path):
    add_case(tmp_path / "x", "c.nii.gz", "p.nii.gz")
    write_datalist(tmp_path / "dataset.json", training=[{"ct": "x/c.nii.gz", "pet": "x/p.nii.gz"}])
    assert [case["case"] for case in find_cases(tmp_path)] == ["x"]


def test_a_section_without_a_datalist_is_refused(tmp_path):
    """Every case would be segmented."""
    folder = add_case(tmp_path / "a", "ct.nii.gz", "pet.nii.gz")
    imported = DicomCases(({"case": "a", "ct": "c", "pet": "p"},), {}, ("series",))
    pair = {"ct_path": folder / "ct.nii.gz", "pet_path": folder / "pet.nii.gz"}
    for source in ({"dataset_dir": tmp_path}, pair, {"imported": imported}):
        with pytest.raises(ValueError, match="section is 'validation', but .* has no datalist.*leave section away"):
            find_cases(**source, section="validation")
        assert [case["case"] for case in find_cases(**source)] == ["a"]
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        find_cases(tmp_path / "none", section="validation")


def test_nothing_found_says_what_was_expected(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected <case>/ct.nii.gz"):
        find_cases(tmp_path)
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        find_cases(tmp_path / "none")
    with pytest.raises(ValueError, match="Nothing to segment"):
        find_cases()


def test_two_cases_of_one_name_are_refused(tmp_path):
    add_case(tmp_path / "p1", "ct.nii.gz", "pet.nii.gz")
    add_case(tmp_path / "P1", "ct.nii.gz", "pet.nii.gz")
    with pytest.raises(ValueError, match="more than once: P1, p1"):
        find_cases(tmp_path)


def test_dicom_is_pointed_to_conversion(tmp_path):
    folder = add_case(tmp_path / "p", "ct.dcm", "pet.nii.gz")
    with pytest.raises(ValueError, match="not NIfTI"):
        find_cases(ct_path=folder / "ct.dcm", pet_path=folder / "pet.nii.gz")


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "a\\b", ".a", "a ", "a\nb", "a:b", "x" * 200])
def test_unsafe_folder_names_are_refused(name):
    with pytest.raises(ValueError, match="cannot name an output folder"):
        check_case_name(name)


@pytest.mark.parametrize("name", ["P1", "STS_001", "Fall 3", "Ä-1.2"])
def test_plain_names_pass(name):
    assert check_case_name(name) == name


def test_real_patients(shared_dir):
    cases = find_cases(shared_dir / "data" / "petct_gtv")
    assert len(cases) == 33 and cases[0]["case"] == "STS_001" and "label" in cases[0]
