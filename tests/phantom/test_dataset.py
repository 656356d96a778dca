"""Data sets: the same with any number of workers, finished after a stop, never over something else; the verb."""

import json
import subprocess
import sys
import threading

import nibabel as nib
import numpy as np
import pytest
from igtv.phantom import dataset as dataset_module
from igtv.phantom.dataset import ensure_phantom_dataset, simulate
from igtv.phantom.storage import load_case
from monai.bundle import ConfigWorkflow
from monai.data import load_decathlon_datalist

FILES = ("ct.nii.gz", "pet.nii.gz", "label.nii.gz", "phases.nii.gz", "case.json")


@pytest.fixture(scope="module")
def made(tmp_path_factory, small):
    folder = tmp_path_factory.mktemp("phantom") / "igtv"
    simulate(folder, num_cases=5, num_testing=1, num_folds=2, seed=4, num_workers=0, progress=False, **small)
    return folder


def read(folder):
    return json.loads((folder / "dataset.json").read_text())


def test_datalist(made):
    datalist = read(made)
    assert datalist["phantom"] is True and datalist["task"] == "igtv" and datalist["simulation"]["seed"] == 4
    assert [item["fold"] for item in datalist["training"]] == [0, 1, 0, 1, 0]
    assert len(datalist["testing"]) == 1 and "fold" not in datalist["testing"][0]
    names = [item["patient_id"] for item in datalist["training"] + datalist["testing"]]
    assert len(set(names)) == 6
    for item in datalist["training"] + datalist["testing"]:
        for key in ("ct", "pet", "label"):
            assert (made / item[key]).is_file() and item[key].startswith(item["patient_id"])
        assert item["ct_kind"] in ("phase", "average", "exhale")
    assert (made / "overview.png").stat().st_size > 10_000
    # MONAI's own reader takes it
    assert len(load_decathlon_datalist(str(made / "dataset.json"), True, "training", str(made))) == 5


def test_geometry_of_the_files(made):
    folder = made / "igtv_00000"
    case = load_case(folder)
    for name, grid in (("ct", case.grid), ("pet", case.pet_grid), ("label", case.grid), ("phases", case.grid)):
        image = nib.load(folder / f"{name}.nii.gz")
        assert nib.aff2axcodes(image.affine) == ("R", "A", "S")
        np.testing.assert_allclose(image.header.get_zooms(), grid.spacing_mm, rtol=1e-6)
        np.testing.assert_allclose(image.get_qform(), image.get_sform(), atol=1e-3)
        assert image.header["qform_code"] == image.header["sform_code"] == 1


def test_any_number_of_workers_gives_the_same(made, small, tmp_path):
    simulate(tmp_path, num_cases=5, num_testing=1, num_folds=2, seed=4, num_workers=2, progress=False, **small)
    assert read(tmp_path) == read(made)
    for item in [*read(made)["training"], *read(made)["testing"]]:
        for name in FILES:
            first, second = (folder / item["patient_id"] / name for folder in (made, tmp_path))
            assert first.read_bytes() == second.read_bytes()


def test_again_does_nothing_but_say_so(made, small, caplog):
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*")}
    with caplog.at_level("INFO"):
        simulate(made, num_cases=5, num_testing=1, num_folds=2, seed=4, progress=False, **small)
    assert "nothing to do" in caplog.text
    assert before == {path: path.stat().st_mtime_ns for path in made.rglob("*")}


def test_other_settings_are_named_and_overwrite_replaces(small, tmp_path):
    arguments = dict(num_cases=2, num_folds=1, num_workers=0, progress=False, **small)
    simulate(tmp_path, seed=1, **arguments)
    with pytest.raises(FileExistsError, match=r"num_cases: there 2, asked 1.*seed: there 1, asked 2.*overwrite"):
        simulate(tmp_path, seed=2, **{**arguments, "num_cases": 1})
    simulate(tmp_path, seed=2, overwrite=True, **{**arguments, "num_cases": 1})
    assert read(tmp_path)["simulation"]["seed"] == 2
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_dir()) == ["igtv_00000"]


def test_foreign_folder_is_left_alone(small, tmp_path):
    (tmp_path / "patient.nii.gz").write_text("precious")
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match="not a phantom"):
            simulate(tmp_path, num_cases=1, num_folds=1, overwrite=overwrite, **small)
    assert (tmp_path / "patient.nii.gz").read_text() == "precious"
    with pytest.raises(FileExistsError, match="is a file"):
        simulate(tmp_path / "patient.nii.gz", num_cases=1, num_folds=1, **small)


def test_interrupted_run_is_finished(made, small, tmp_path, monkeypatch):
    arguments = dict(num_cases=5, num_testing=1, num_folds=2, seed=4, num_workers=0, progress=False, **small)
    save = dataset_module.save_case

    def stop_at_the_third(folder, case):
        if case.case_id == "igtv_00002":
            raise KeyboardInterrupt
        save(folder, case)

    monkeypatch.setattr(dataset_module, "save_case", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        simulate(tmp_path, **arguments)
    assert not (tmp_path / "dataset.json").exists()
    first = (tmp_path / "igtv_00000" / "case.json").stat().st_mtime_ns
    monkeypatch.undo()
    simulate(tmp_path, **arguments)
    assert (tmp_path / "igtv_00000" / "case.json").stat().st_mtime_ns == first
    assert read(tmp_path) == read(made)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"num_cases": 0}, "num_cases is 0"),
        ({"num_cases": 2, "num_folds": 3}, "num_folds is 3"),
        ({"num_testing": -1}, "num_testing is -1"),
        ({"num_cases": 2.5}, "num_cases is 2.5"),
        ({"seed": "one"}, "seed is 'one'"),
        ({"num_workers": -2}, "num_workers is -2"),
        ({"task": "both"}, "task is 'both'"),
    ],
)
def test_bad_arguments(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        simulate(tmp_path / "new", **arguments)
    assert not (tmp_path / "new").exists()


def test_ensure_makes_then_takes_what_is_there(small, tmp_path, monkeypatch):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    folder = tmp_path / "data"
    path = ensure_phantom_dataset(folder, num_cases=1, num_folds=1, num_workers=0, progress=False, **small)
    assert path == folder / "dataset.json"
    changed = path.stat().st_mtime_ns
    assert ensure_phantom_dataset(folder, num_cases=9) == path
    assert ensure_phantom_dataset(folder, seed=0) == path
    with pytest.raises(FileExistsError, match=r"another seed \(there 0, asked 7\): give --phantom_seed 0 to use it"):
        ensure_phantom_dataset(folder, seed=7)
    assert path.stat().st_mtime_ns == changed


def test_other_ranks_wait_for_the_first(tmp_path, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    timer = threading.Timer(0.3, lambda: (tmp_path / "dataset.json").write_text("{}"))
    timer.start()
    assert ensure_phantom_dataset(tmp_path, wait_limit_s=20.0) == tmp_path / "dataset.json"
    timer.join()
    with pytest.raises(TimeoutError, match="first process"):
        ensure_phantom_dataset(tmp_path / "never", wait_limit_s=0.3)


def test_config_defaults_are_the_package_defaults(bundle_dir):
    config = json.loads((bundle_dir / "configs" / "simulate.json").read_text())
    arguments = config["run"][-1]
    assert config["simulating"] == "%run"
    assert all(value == f"@{key}" for key, value in arguments.items() if key != "_target_")
    defaults = dataset_module.PhantomSettings(task=config["task"]).to_dict()
    by_task = ("amplitude_median_mm", "amplitude_cap_mm", "ct_kind_shares")
    assert set(defaults) <= set(arguments)
    assert {k: config[k] for k in defaults if k not in by_task} == {
        k: v for k, v in defaults.items() if k not in by_task
    }


@pytest.mark.parametrize("place, config", [("", "bundle/configs/simulate.json"), ("bundle", "configs/simulate.json")])
def test_verb_from_root_and_from_bundle(project_dir, small, tmp_path, monkeypatch, place, config):
    monkeypatch.chdir(project_dir / place)
    overrides = {"dataset_dir": str(tmp_path / "data"), "num_cases": 1, "num_folds": 1, "num_workers": 0}
    overrides |= {key: list(value) for key, value in small.items()}
    workflow = ConfigWorkflow(config, workflow_type="train", run_id="simulating", logging_file=False, **overrides)
    assert workflow.parser.get_parsed_content("bundle_root") == ("." if place else "bundle")
    workflow.run()
    assert (tmp_path / "data" / "dataset.json").is_file()


def test_command_line(project_dir, tmp_path):
    command = [
        sys.executable,
        "-m",
        "monai.bundle",
        "run",
        "simulating",
        "--config_file",
        "bundle/configs/simulate.json",
    ]
    command += ["--dataset_dir", str(tmp_path / "data"), "--num_cases", "2", "--num_folds", "2", "--task", "gtv"]
    result = subprocess.run(command, cwd=project_dir, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert "2/2" in result.stderr  # the progress bar
    assert read(tmp_path / "data")["task"] == "gtv"
