"""The same files work from the root of the repository and from bundle/, and write to the same places."""

from pathlib import Path

import pytest
from monai.bundle import ConfigWorkflow

PLACES = {
    ("train",): "training",
    ("train", "finetune"): "finetuning",
    ("train", "evaluate"): "evaluation",
    ("train", "baselines/segresnet"): "segresnet",
    ("inference",): "inference",
    ("pool",): "pooled",
}


def resolved(key, files, **overrides):
    workflow = ConfigWorkflow(files, logging_file=False, **overrides)
    workflow.initialize()
    return Path(workflow.parser.get_parsed_content(key))


@pytest.mark.parametrize(("start", "configs"), [("..", "bundle/configs"), (".", "configs")])
@pytest.mark.parametrize("names", PLACES)
def test_results_land_in_the_bundle(bundle_copy, monkeypatch, start, configs, names):
    monkeypatch.chdir(bundle_copy / start)
    files = [f"{configs}/{name}.json" for name in names]
    assert resolved("output_dir", files).resolve() == bundle_copy / "output" / PLACES[names]
    if "finetune" in names or "inference" in names:
        assert resolved("model_path", files).resolve() == bundle_copy / "models" / "model.pt"
        assert resolved("model_path", files).is_file()


@pytest.mark.parametrize(("start", "configs"), [("..", "bundle/configs"), (".", "configs")])
def test_phantoms_land_in_the_bundle(bundle_copy, monkeypatch, start, configs):
    """Where training looks for them."""
    monkeypatch.chdir(bundle_copy / start)
    for task in ("gtv", "igtv"):
        made = resolved("dataset_dir", [f"{configs}/simulate.json"], task=task).resolve()
        assert made == resolved("dataset_dir", [f"{configs}/train.json"], task=task).resolve()
        assert made == bundle_copy / "output" / f"phantom_{task}"
    breathing = resolved("dataset_dir", [f"{configs}/simulate_breathing.json"]).resolve()
    assert breathing == bundle_copy / "output" / "breathing"


@pytest.mark.parametrize(("start", "configs"), [("..", "bundle/configs"), (".", "configs")])
def test_an_imported_data_set_lands_in_the_bundle(bundle_copy, monkeypatch, start, configs):
    """Its folder's name must not hold "import": MONAI takes an expression with that word for a statement."""
    monkeypatch.chdir(bundle_copy / start)
    found = resolved("dataset_dir", [f"{configs}/import_dicom.json"]).resolve()
    assert found == bundle_copy / "output" / "from_dicom"


@pytest.mark.parametrize(("start", "configs"), [("..", "bundle/configs"), (".", "configs")])
@pytest.mark.parametrize(
    "names", [("train",), ("train", "finetune"), ("train", "evaluate"), ("retrain",), ("campaign",)]
)
def test_a_datalist_alone_brings_its_folder(bundle_copy, monkeypatch, tmp_path, start, configs, names):
    """Absolute, and relative to where the user stands; a `dataset_dir` that is given wins."""
    monkeypatch.chdir(bundle_copy / start)
    files = [f"{configs}/{name}.json" for name in names]
    assert resolved("dataset_dir", files, datalist=str(tmp_path / "list.json")) == tmp_path
    assert resolved("dataset_dir", files, datalist="data/list.json") == (bundle_copy / start / "data").resolve()
    given = {"datalist": str(tmp_path / "list.json"), "dataset_dir": "images"}
    assert resolved("dataset_dir", files, **given) == Path("images")


def test_from_elsewhere_bundle_root_says_where(bundle_copy, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    files = [str(bundle_copy / "configs" / "train.json")]
    assert resolved("output_dir", files, bundle_root=str(bundle_copy)) == bundle_copy / "output" / "training"


def test_a_relative_output_dir_starts_where_the_user_stands(bundle_copy, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    files = [str(bundle_copy / "configs" / "train.json")]
    changes = {"bundle_root": str(bundle_copy), "output_dir": "mine"}
    assert resolved("run_manifest#output_dir", files, **changes).resolve() == tmp_path / "mine"


def test_files_of_a_run_from_bundle(bundle_copy, config_files, tiny, monkeypatch):
    """One verb through to its files, with every path relative."""
    monkeypatch.chdir(bundle_copy)
    pair = {f"{key}_path": f"{tiny['dataset_dir']}/case_2/{key}.nii.gz" for key in ("ct", "pet")}
    changes = {key: value for key, value in tiny.items() if key not in ("bundle_root", "output_dir")}
    workflow = ConfigWorkflow(["configs/inference.json"], workflow_type="infer", logging_file=False, **changes, **pair)
    workflow.initialize()
    workflow.run()
    written = {path.name for path in (bundle_copy / "output" / "inference" / "case_2").iterdir()}
    assert written == {"pred.nii.gz", "overlay.png", "manifest.json"}
