"""What of an edited entry the next import keeps."""

import pytest
from igtv.dicom.import_edits import case_item, merged_entry

SOURCE = {"ct": [{"series_uid": "1.1"}], "pet": {"series_uid": "1.2", "study_uid": "1"}, "label": [{"roi": ["GTV"]}]}
FACTS = {"patient_id": "A", "ct_kind": "average", "label_kind": "gtv", "source": SOURCE}
UNLABELLED = {"patient_id": "A", "ct_kind": "average", "source": {key: SOURCE[key] for key in ("ct", "pet")}}
ITEM = case_item("A", FACTS)


@pytest.fixture
def folder(tmp_path):
    for name in ("label", "mine", "pet", "ct"):
        (tmp_path / "A").mkdir(exist_ok=True)
        (tmp_path / "A" / f"{name}.nii.gz").write_bytes(b"x")
    return tmp_path


def test_an_entry_as_the_import_wrote_it_becomes_the_new_one(folder):
    new = case_item("A_1", FACTS | {"label_kind": "igtv", "ct_kind": "phase"})
    assert merged_entry(new, ITEM, ITEM, folder) == new
    assert merged_entry(new, ITEM | {"fold": 2}, ITEM, folder) == new | {"fold": 2}


@pytest.mark.parametrize(
    "change",
    [
        {"label": "A/mine.nii.gz"},
        {"label": "A/mine.nii.gz", "label_kind": "igtv"},
        {"label_kind": "igtv"},
        {"patient_id": "B"},
        {"pet": "A/mine.nii.gz"},
    ],
)
def test_changed_values_stay(folder, change):
    entry = ITEM | change
    assert merged_entry(ITEM, entry, ITEM, folder) == entry
    assert merged_entry(case_item("A_1", FACTS), entry, ITEM, folder) == case_item("A_1", FACTS) | change


def test_the_kind_goes_with_the_label_that_is_kept(folder):
    entry, new = ITEM | {"label": "A/mine.nii.gz"}, case_item("A", FACTS | {"label_kind": "igtv"})
    assert merged_entry(new, entry, ITEM, folder)["label_kind"] == "gtv"


def test_a_label_taken_away_stays_away(folder):
    entry = {key: value for key, value in ITEM.items() if key not in ("label", "label_kind")}
    assert merged_entry(ITEM, entry, ITEM, folder) == entry
    # where the import had none, nobody took it away
    assert merged_entry(ITEM, entry, case_item("A", UNLABELLED), folder) == ITEM


def test_a_label_drawn_for_a_case_without_one_stays(folder):
    item = case_item("A", UNLABELLED)
    entry = item | {"label": "A/label.nii.gz", "label_kind": "igtv"}
    assert merged_entry(item, entry, item, folder) == entry


def test_a_label_of_the_import_goes_with_its_contours(folder):
    item = case_item("A", UNLABELLED)
    assert merged_entry(item, ITEM | {"no_tumour": True, "fold": 1}, ITEM, folder) == item | {"fold": 1}


def test_a_file_that_is_not_there_any_more_is_not_kept(folder, caplog):
    assert merged_entry(ITEM, ITEM | {"label": "A/gone.nii.gz"}, ITEM, folder) == ITEM
    assert "case A: A/gone.nii.gz of the datalist, its label, does not exist any more" in caplog.text


def test_without_a_log_paths_alone_tell_what_was_changed(folder):
    new = case_item("A_1", FACTS | {"label_kind": "igtv"})
    assert merged_entry(new, ITEM, None, folder) == new
    kept = merged_entry(new, ITEM | {"label": "A/mine.nii.gz"}, None, folder)
    assert kept == new | {"label": "A/mine.nii.gz", "label_kind": "gtv"}
