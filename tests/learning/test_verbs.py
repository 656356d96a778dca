"""`retraining` and `campaigning` as commands run them."""

import json

import pytest
from igtv.data.datalist import read_datalist
from igtv.learning.registry import ModelRegistry
from igtv.learning.session import open_frozen_set, retrain


def test_retraining_in_a_process_of_its_own(run_config, phantom_dir, weak_model, tiny_settings, tmp_path):
    """Fold 0 is frozen; the same datalist again brings nothing new after an acceptance."""
    settings = {**tiny_settings().finetuning, "epochs": 1}
    common = {"dataset_dir": str(phantom_dir), "models_dir": str(tmp_path), "model_path": str(weak_model)}
    run_config("retraining", "retrain.json", **common, settings=settings, margin=1.0, max_case_drop=1.0)
    registry = ModelRegistry(tmp_path)
    version = registry.current()
    assert version.number == 2 and version.status == "accepted"
    frozen = set(json.loads((tmp_path / "frozen" / "frozen_set.json").read_text())["cases"][0])
    assert {"case", "patient", "voxels"} <= frozen
    listing = json.loads((phantom_dir / "dataset.json").read_text())["training"]
    assert {entry["patient"] for entry in version.data} == {item["patient_id"] for item in listing if item["fold"] != 0}
    assert (version.report_dir / "work.log").is_file()
    with pytest.raises(RuntimeError) as caught:
        run_config("retraining", "retrain.json", **common, settings=settings)
    assert "no new label to learn from" in str(caught.value.__cause__)


def test_the_frozen_set_outlives_another_split(phantom_dir, tmp_path):
    listing = read_datalist(phantom_dir / "dataset.json")
    first = open_frozen_set(tmp_path / "frozen", listing, 0, 5, 0)
    assert open_frozen_set(tmp_path / "frozen", listing, 1, 5, 0).sha256 == first.sha256


def test_the_campaign_refuses_a_strategy_that_there_is_not(run_config):
    with pytest.raises(RuntimeError) as caught:
        run_config("campaigning", "campaign.json", strategies=["best"])
    assert "choose among" in str(caught.value.__cause__)
    with pytest.raises(RuntimeError) as caught:
        run_config("campaigning", "campaign.json", strategies="best")  # one word, not four letters
    assert "strategies=['best']: choose among" in str(caught.value.__cause__)


def test_retraining_without_anything_left_to_learn_says_so(phantom_dir, weak_model, tmp_path):
    content = json.loads((phantom_dir / "dataset.json").read_text())
    for item in content["training"]:
        item["fold"] = 0
    (tmp_path / "list.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="nothing is left to learn from"):
        retrain(phantom_dir, tmp_path / "list.json", tmp_path / "models", weak_model)


def test_retraining_refuses_other_weights_than_the_registry_began_with(registry, phantom_dir, weak_model, tmp_path):
    """Version 1 is the weak model."""
    (tmp_path / "other.pt").write_bytes(b"other weights")
    common = (phantom_dir, phantom_dir / "dataset.json", registry.folder.parent)
    first = registry.version(1).model_path
    for other in (tmp_path / "other.pt", tmp_path / "none.pt"):
        with pytest.raises(ValueError, match="is not what .* began with .'weak GTV model'.: give") as caught:
            retrain(*common, other)
        assert str(other) in str(caught.value) and f"give {first}, or another models_dir" in str(caught.value)
    assert not (registry.folder.parent / "frozen").exists()
    for same in (weak_model, first):
        with pytest.raises(ValueError, match="start_from='elsewhere'"):  # it goes on
            retrain(*common, same, start_from="elsewhere")


def test_retraining_never_evaluates_a_patient_id(run_config, phantom_dir, weak_model, tmp_path):
    content = json.loads((phantom_dir / "dataset.json").read_text())
    content["training"][-1]["patient_id"] = "$open('x', 'w')"
    (tmp_path / "list.json").write_text(json.dumps(content))
    settings = {"dataset_dir": str(phantom_dir), "datalist": str(tmp_path / "list.json"), "models_dir": str(tmp_path)}
    with pytest.raises(RuntimeError) as caught:
        run_config("retraining", "retrain.json", **settings, model_path=str(weak_model))
    assert "a datalist is data" in str(caught.value.__cause__)


def test_half_of_what_mixes_in_the_pretraining_is_refused(phantom_dir, weak_model, tmp_path):
    """Each does nothing without the other; nothing is begun."""
    common = (phantom_dir, phantom_dir / "dataset.json", tmp_path / "models", weak_model)
    datalist = phantom_dir / "dataset.json"
    for given in ({}, {"pretraining_cases": 0}):
        with pytest.raises(ValueError, match=f"pretraining_datalist is {datalist}, but pretraining_cases is 0"):
            retrain(*common, pretraining_datalist=datalist, **given)
    with pytest.raises(ValueError, match="pretraining_cases is 3, but there is no pretraining_datalist"):
        retrain(*common, pretraining_cases=3)
    assert not (tmp_path / "models").exists()
