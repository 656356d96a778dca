"""A misspelt key stops a run before anything happens; what MONAI and MONAI Label put in themselves passes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from monai.bundle import ConfigWorkflow, run

CHECK_ALONE = [{"_target_": "igtv.configuration.key_guard.check_keys"}]


@pytest.fixture
def config(bundle_dir):
    return lambda *names: [str(bundle_dir / "configs" / f"{name}.json") for name in names]


def check(files, **overrides):
    """Run nothing but the check, as the first item of a verb does."""
    workflow = ConfigWorkflow(files, logging_file=False, run=CHECK_ALONE, **overrides)
    workflow.initialize()
    workflow.run()


def refusal(action, *args, **kwargs):
    """The text of the first cause, which is a ValueError."""
    with pytest.raises(RuntimeError) as caught:
        action(*args, **kwargs)
    assert isinstance(caught.value.__cause__, ValueError)
    return str(caught.value.__cause__)


def test_command_line_ends_with_the_nearest_name(bundle_dir, tmp_path):
    """In a copy, as a user's: nothing is written into it, nor beside it."""
    for part in ("configs", "igtv"):
        shutil.copytree(bundle_dir / part, tmp_path / "bundle" / part, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "monai.bundle", "run", "training", "--config_file", "bundle/configs/train.json"]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    ended = subprocess.run(
        [*command, "--epohcs", "30"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert ended.returncode != 0
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith("ValueError: unknown key 'epohcs', did you mean 'epochs'?")
    assert "Nothing was run" in last
    left = [path.name for path in (*tmp_path.iterdir(), *(tmp_path / "bundle").iterdir())]
    assert sorted(left) == ["bundle", "configs", "igtv"]


def test_args_file(config, tmp_path):
    arguments = tmp_path / "args.json"
    settings = {"run_id": "training", "config_file": config("train"), "logging_file": False, "learning_rat": 0.1}
    arguments.write_text(json.dumps(settings))
    assert "'learning_rat', did you mean 'learning_rate'?" in refusal(run, args_file=str(arguments))


def test_in_process(config):
    text = refusal(run, "inferring", config_file=config("inference"), logging_file=False, dataset_dri="x", fuson="cipa")
    assert "'dataset_dri', did you mean 'dataset_dir'?" in text
    assert "'fuson', did you mean 'fusion'?" in text


@pytest.mark.parametrize(
    ("names", "wrong", "nearest"),
    [
        (["train"], "num_slice", "num_slices"),
        (["train", "finetune"], "frozen_epoch", "frozen_epochs"),
        (["train", "evaluate"], "evaluation_prat", "evaluation_part"),
        (["train", "baselines/segresnet"], "batchsize", "batch_size"),
        (["inference"], "outptus", "outputs"),
        (["simulate"], "num_case", "num_cases"),
        (["pool"], "compaer", "compare"),
    ],
)
def test_every_verb_checks(config, names, wrong, nearest):
    files = config(*names)
    assert ConfigWorkflow(files, logging_file=False).parser["run"][0] == CHECK_ALONE[0]
    assert f"unknown key '{wrong}', did you mean '{nearest}'?" in refusal(check, files, **{wrong: 1})


def test_key_of_another_file_is_told_from_a_typing_error(config):
    text = refusal(check, config("train"), evaluation_part="testing")
    assert "'evaluation_part': it belongs to evaluate.json, give that file too, after train.json" in text


def test_a_key_that_is_like_nothing(config):
    text = refusal(check, config("train"), zzzzzz=1)
    assert "unknown key 'zzzzzz'. Nothing was run" in text


@pytest.mark.parametrize(
    ("own", "settings"),
    [
        ("evaluate", "baselines/slices_2d"),
        ("evaluate", "baselines/segresnet"),
        ("evaluate", "real_patients"),
        ("evaluate", "finetune"),
        ("multi_gpu_train", "finetune"),
    ],
)
def test_a_file_of_settings_does_not_turn_a_verb_into_another(config, own, settings):
    """After evaluate.json its `run`, which trains, would be what `evaluating` stands for."""
    names = (own, settings.split("/")[-1])
    text = refusal(check, config("train", own, settings))
    assert f"{names[1]}.json comes after {names[0]}.json" in text and f"give {names[0]}.json last" in text
    files = config("train", settings, own)
    assert ConfigWorkflow(files, logging_file=False).parser["run"] == json.loads(Path(files[-1]).read_text())["run"]
    check(files)


def test_two_verbs_at_once_are_refused(config):
    for names in (("evaluate", "multi_gpu_train"), ("multi_gpu_train", "evaluate")):
        assert "each bring their own `run`" in refusal(check, config("train", *names))


def test_an_own_overlay_may_have_a_run_of_its_own(config, tmp_path):
    own = tmp_path / "own.json"
    own.write_text(json.dumps({"+config_files": [str(own)], "run": [*CHECK_ALONE, "$print('done')"]}))
    check([*config("train", "evaluate"), str(own)])


@pytest.mark.parametrize("key", ["device", "output_dir", "epochs"])
def test_keys_that_would_do_nothing_are_refused(config, key):
    """The phantom has neither device nor epochs; taken in silence they would look as if they did something."""
    assert f"unknown key '{key}'" in refusal(check, config("simulate"), **{key: "cpu"})


def test_settings_at_any_depth_pass(config):
    changes = {"epochs": 3, "train#trainer#max_epochs": 3, "train::dataloader::batch_size": 1, "variant": "tiny"}
    check(config("train"), **changes)
    check(config("train", "finetune"), frozen_parts=[], network_def={"_target_": "SegResNet"})


def test_what_monai_label_injects_passes(config, bundle_dir):
    """The overrides of BundleTrainTask 0.8.5; its parameters for MLflow among them."""
    changes = {
        "bundle_root": str(bundle_dir),
        "device": "cpu",
        "train#trainer#max_epochs": 2,
        "train#dataset#data": [{"image": "a", "label": "b"}],
        "validate#dataset#data": [],
        "train#handlers": [{"_target_": "CheckpointLoader", "load_path": "x", "load_dict": {}}],
        "displayable_configs": {},
        "tracking_uri": "sqlite:///x.db",
        "experiment_name": "igtv",
        "run_name": "one",
    }
    check(config("train"), **changes)


def test_what_experiment_tracking_and_federated_learning_set_passes(config, tmp_path):
    check(config("train"), run_name="site-1_20260101", bundle_root=str(tmp_path))
    check(config("train"), tracking="mlflow", save_execute_config=False)


def test_own_overlay_with_new_keys_names_itself(config, tmp_path):
    own = tmp_path / "own.json"
    content = {"my_rate": 0.3, "learning_rate": "$2 * @my_rate"}
    own.write_text(json.dumps(content))
    text = refusal(check, [*config("train"), str(own)])
    assert '"+config_files": ["path/to/it.json"]' in text
    own.write_text(json.dumps({"+config_files": [str(own)], **content}))
    check([*config("train"), str(own)])
    text = refusal(check, [*config("train"), str(own)], my_rat=1)
    assert "'my_rat', did you mean 'my_rate'?" in text


def test_own_overlay_may_lie_anywhere(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.json").write_text(json.dumps({"+config_files": ["own.json"], "epochs": 3}))
    check([*config("train"), "own.json"])
    (tmp_path / "own.json").write_text(json.dumps({"+config_files": ["other.json"], "epochs": 3}))
    with pytest.raises(RuntimeError) as caught:
        check([*config("train"), "own.json"])
    assert "names 'other.json', which is neither among the shipped configs nor a file" in str(caught.value.__cause__)


def test_a_path_that_is_a_number_is_refused_by_name(config):
    text = refusal(check, config("import_dicom"), dicom_dir=202401)
    assert "dicom_dir is 202401" in text and "--dicom_dir ./2024_01" in text
