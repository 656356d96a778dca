import re
from pathlib import Path

import pytest
from igtv.data.datalist import read_datalist, split_cases


def item(name, **more):
    return {"ct": f"{name}/ct.nii.gz", "pet": f"{name}/pet.nii.gz", "label": f"{name}/label.nii.gz", **more}


def names(cases):
    return [case["case"] for case in cases]


def test_paths_are_absolute_and_other_keys_are_not_handed_on(write_datalist, tmp_path):
    path = write_datalist(name="x", training=[item("a", patient_id="P1", ct_kind="average", image_note="n")])
    cases = read_datalist(path).training
    assert cases[0].as_case() == {
        "case": "P1",
        "patient": "P1",
        "ct": str(tmp_path / "a/ct.nii.gz"),
        "pet": str(tmp_path / "a/pet.nii.gz"),
        "label": str(tmp_path / "a/label.nii.gz"),
        "ct_kind": "average",
    }


def test_the_ct_is_known_by_its_series_and_its_part_of_it(write_datalist):
    """Volumes such as 4D-CT phases may share a series; a CT made of several belongs to none."""
    phase = {"series_uid": "1.2.3", "part": "TemporalPositionIdentifier 3"}
    sources = [{"ct": [phase]}, {"ct": [{"series_uid": "1.2.4"}]}, {"ct": [phase, phase]}, {}]
    items = [item(name, source=source) for name, source in zip("abcd", sources, strict=True)]
    cases = [one.as_case() for one in read_datalist(write_datalist(training=items)).training]
    found = [tuple(case.get(key) for key in ("ct_series_uid", "ct_series_part")) for case in cases]
    assert found == [("1.2.3", "TemporalPositionIdentifier 3"), ("1.2.4", None), (None, None), (None, None)]


def test_dataset_dir_takes_the_place_of_the_datalists_folder(write_datalist, tmp_path):
    (tmp_path / "images").mkdir()
    listing = read_datalist(write_datalist(training=[item("a")]), tmp_path / "images")
    assert listing.training[0].ct == str(tmp_path / "images" / "a" / "ct.nii.gz")
    with pytest.raises(FileNotFoundError, match="dataset_dir .*/none does not exist"):
        read_datalist(tmp_path / "dataset.json", tmp_path / "none")


def test_case_is_the_folder_of_the_ct_without_patient_id(write_datalist):
    assert names(split_cases(read_datalist(write_datalist(testing=[item("a"), item("b")])), 0, "testing")) == ["a", "b"]


def test_label_is_optional(write_datalist):
    listing = read_datalist(write_datalist(testing=[{"ct": "a/ct.nii.gz", "pet": "a/pet.nii.gz"}]))
    assert "label" not in split_cases(listing, None, "testing")[0]


def test_several_cases_of_one_patient_get_names_of_their_own_and_stay_together(write_datalist):
    items = [item(f"{patient}{scan}", patient_id=f"P{patient}") for patient in range(6) for scan in range(2)]
    listing = read_datalist(write_datalist(training=items))
    for fold in range(3):
        training, validation = (split_cases(listing, fold, part, num_folds=3) for part in ("training", "validation"))
        assert len(validation) == 4 and len(training) == 8
        assert not {name[:2] for name in names(training)} & {name[:2] for name in names(validation)}
    assert names(training)[0].endswith("_1") and names(training)[1].endswith("_2")


def test_fold_of_the_items_decides(write_datalist):
    listing = read_datalist(write_datalist(training=[item(str(i), fold=i % 3) for i in range(6)]))
    assert names(split_cases(listing, 1, "validation")) == ["1", "4"]
    assert names(split_cases(listing, 1, "training")) == ["0", "2", "3", "5"]
    with pytest.raises(ValueError, match=r"fold=3 is not among the folds \[0, 1, 2\]"):
        split_cases(listing, 3, "training")


def test_plain_lists_are_used_as_they_are(write_datalist):
    listing = read_datalist(write_datalist(training=[item("a"), item("b")], validation=[item("c")]))
    for fold in (None, -1, 0):
        assert names(split_cases(listing, fold, "training")) == ["a", "b"]
        assert names(split_cases(listing, fold, "validation")) == ["c"]
    assert split_cases(listing, 0, "testing") == []
    with pytest.raises(ValueError, match="fold=2, but .* so there is only fold 0: add `fold`"):
        split_cases(listing, 2, "training")


def test_cross_validation_pools_the_lists_and_covers_every_case_once(write_datalist):
    lists = {"training": [item(f"a{i}") for i in range(9)], "validation": [item(f"b{i}") for i in range(4)]}
    listing = read_datalist(write_datalist(**lists))
    folds = [names(split_cases(listing, fold, "validation", cross_validation=True)) for fold in range(5)]
    assert sorted(sum(folds, [])) == sorted([f"a{i}" for i in range(9)] + [f"b{i}" for i in range(4)])
    assert sorted(map(len, folds)) == [2, 2, 3, 3, 3]
    reverse = read_datalist(write_datalist(**{key: list(value[::-1]) for key, value in lists.items()}))
    again = names(split_cases(reverse, 0, "validation", cross_validation=True))
    assert sorted(again) == sorted(folds[0])
    other = [names(split_cases(listing, fold, "validation", cross_validation=True, seed=1)) for fold in range(5)]
    assert other != folds


def test_real_datalist(shared_dir):
    listing = read_datalist(shared_dir / "data" / "petct_gtv" / "dataset.json")
    training, validation = (split_cases(listing, 0, part) for part in ("training", "validation"))
    assert (len(training), len(validation)) == (25, 8)
    assert training[0]["case"] == "STS_001" and validation[0]["case"] == "STS_004"
    assert all(Path(case[key]).is_file() for case in training + validation for key in ("ct", "pet", "label"))


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"training": [{"ct": "a/ct.nii.gz"}]}, r"training\[0\] has no `pet` \(keys found: ct\)"),
        ({"training": [item("a"), item("b", label=3)]}, r"training\[1\]: `label` is 3: the path of a file"),
        ({"training": [item("a", ct="")]}, r"training\[0\]: `ct` is ''"),
        ({"training": [item("a", fold="1")]}, r"training\[0\]: `fold` is '1': a whole number"),
        ({"training": [item("a", fold=True)]}, r"training\[0\]: `fold` is True"),
        ({"training": [item("a", patient_id=7)]}, r"training\[0\]: `patient_id` is 7: a text"),
        (
            {"training": [item("a", patient_id="../x")]},
            r"training\[0\]: '../x' cannot name an output folder.*`patient_id`",
        ),
        ({"training": [item("a", patient_id="A:1")]}, "'A:1' cannot name"),
        ({"training": [item("a", patient_id="A ")]}, "'A ' cannot name"),
        ({"training": [item("a", patient_id="$print(1)")]}, r"`patient_id` '\$print\(1\)' starts with \$"),
        ({"training": [item("a", patient_id="@network")]}, "starts with @"),
        ({"training": [item("a", ct_kind=1)]}, r"`ct_kind` is 1"),
        ({"training": [item("a", label_kind="ctv")]}, r"`label_kind` is 'ctv': one of gtv, igtv"),
        ({"testing": ["a.nii.gz"]}, r"testing\[0\] is 'a.nii.gz': an object"),
        ({"training": {}}, r"`training` is a dict: a list"),
        ({"trainning": [item("a")]}, r"has no case.*keys found: trainning"),
        ({"training": [item("a", fold=0), item("b")]}, r"training\[1\] has no `fold`"),
        ({"training": [item("a", fold=0)], "validation": [item("b")]}, "keep one of the two"),
        ({"training": [item("a"), item("a")]}, r"training\[1\] and training\[0\] name the same CT and PET"),
        (
            {"training": [item("a", patient_id="P")], "validation": [item("b", patient_id="P")]},
            "patient 'P' is in `training` and in `validation`",
        ),
        (
            {"training": [item("a", patient_id="P", fold=0), item("b", patient_id="P", fold=1)]},
            "patient 'P' in fold 1, an earlier entry in fold 0",
        ),
        ({"training": [item("x/a"), item("y/a")]}, "are both called 'a'"),
    ],
)
def test_errors_name_file_entry_and_key(write_datalist, lists, message):
    path = write_datalist(**lists)
    with pytest.raises(ValueError, match=message) as error:
        read_datalist(path)
    assert str(path) in str(error.value)


def test_missing_or_broken_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=re.escape(f"datalist {tmp_path}/none.json does not exist")):
        read_datalist(tmp_path / "none.json")
    (tmp_path / "broken.json").write_text('{"training": [}')
    with pytest.raises(ValueError, match=r"broken.json is not valid JSON: .*line 1 column 15"):
        read_datalist(tmp_path / "broken.json")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(ValueError, match="list.json holds a list: an object"):
        read_datalist(tmp_path / "list.json")


def test_split_errors(write_datalist):
    listing = read_datalist(write_datalist(training=[item(name) for name in "abc"]))
    with pytest.raises(ValueError, match="part='train' is unknown"):
        split_cases(listing, 0, "train")
    with pytest.raises(ValueError, match=r"num_folds=5 does not fit 3 patient\(s\)"):
        split_cases(listing, 0, "training")
    single = read_datalist(write_datalist(training=[item("a", fold=0), item("b", fold=0)]))
    with pytest.raises(ValueError, match="leaves no case for training with fold=0"):
        split_cases(single, 0, "training")


def test_a_case_may_bring_its_name(write_datalist):
    """Of a patient with several cases, where one of them is not listed."""
    named = [{**item("a", patient_id="P"), "case": "P_2"}, {**item("b", patient_id="P"), "case": "P_3"}]
    cases = read_datalist(write_datalist(training=named)).training
    assert [(case.case, case.patient) for case in cases] == [("P_2", "P"), ("P_3", "P")]
    for value, message in ((7, "`case` is 7: a text"), ("a/b", "cannot name an output folder"), ("$x", "`case` '.x'")):
        with pytest.raises(ValueError, match=message):
            read_datalist(write_datalist(training=[{**item("a"), "case": value}]))


def test_a_folder_stands_for_its_dataset_json(write_datalist, tmp_path):
    write_datalist(training=[{"ct": "P1/ct.nii.gz", "pet": "P1/pet.nii.gz"}])
    assert read_datalist(None, tmp_path).training[0].ct == str(tmp_path / "P1" / "ct.nii.gz")
    with pytest.raises(ValueError, match="neither datalist nor dataset_dir is given"):
        read_datalist(None)
