"""`training` from the phantom to the files that it leaves."""

import csv
import json
import logging
import shutil

import pytest
import torch
from igtv.networks.igtv_network import IGTVNetwork
from igtv.networks.model_card import read_model_card


def read_log(folder):
    with open(folder / "training_log.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_files_of_a_training(trained):
    names = {entry.name for entry in trained.iterdir()}
    assert names == {
        ".training.lock",
        "checkpoint.pt",
        "learning_curve.png",
        "model.json",
        "model.pt",
        "model_last.json",
        "model_last.pt",
        "pictures",
        "run_manifest.json",
        "tensorboard",
        "training_log.csv",
    }
    rows = read_log(trained)
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert all(0 < float(row["train_loss"]) < 5 and 0 <= float(row["val_dice"]) <= 1 for row in rows)
    # one warm-up epoch of two steps from 1 % to the full rate, then the cosine down to 1 %
    assert float(rows[0]["learning_rate"]) == pytest.approx(1e-3)
    assert float(rows[1]["learning_rate"]) == pytest.approx(1e-5)
    assert (trained / "learning_curve.png").read_bytes()[:4] == b"\x89PNG"


def test_weights_load_flat_and_card_describes_them(trained):
    for name in ("model", "model_last"):
        weights = torch.load(trained / f"{name}.pt", weights_only=True)
        IGTVNetwork().load_state_dict(weights)
        card = read_model_card(trained / f"{name}.pt")  # checks the SHA-256
        assert card["network"] == {"variant": "nano", "fusion": "rectified", "sim": "A", "sim_radius": 2}
        assert card["task"] == "gtv" and card["spacing_mm"] == [6.0, 6.0, 5.0] and card["num_slices"] == 3
        assert card["metrics"]["epoch"] in (1, 2)


def test_manifest_says_what_was_run(trained, tiny_phantom):
    manifest = json.loads((trained / "run_manifest.json").read_text())
    assert manifest["versions"]["torch"] == torch.__version__
    assert manifest["config"]["epochs"] == 2 and manifest["config"]["variant"] == "nano"
    assert manifest["data"]["cases"] == 4 and len(manifest["data"]["sha256"]) == 64
    assert len(manifest["cases"]["training"]) == len(manifest["cases"]["validation"]) == 2
    assert manifest["scan"] and manifest["device"] == "cpu" and manifest["seconds"] > 0
    assert manifest["model"]["name"] != "model" and manifest["model"]["task"] == "gtv"  # of the card beside it
    assert manifest["results"]["epochs"] == 2 and manifest["results"]["best_epoch"] in (1, 2)
    assert str(tiny_phantom) not in json.dumps(manifest)


def test_tensorboard_holds_loss_rate_and_dice(trained):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(trained / "tensorboard")).Reload()
    assert set(events.Tags()["scalars"]) == {"train_loss", "learning_rate", "val_dice"}
    logged = [event.value for event in events.Scalars("train_loss")]
    assert logged == pytest.approx([float(row["train_loss"]) for row in read_log(trained)])


def test_validated_weights_are_the_moving_average(trained):
    checkpoint = torch.load(trained / "checkpoint.pt", weights_only=True)
    last = torch.load(trained / "model_last.pt", weights_only=True)
    assert all(torch.equal(last[name], checkpoint["moving_average"][name]) for name in last)
    assert any(not torch.equal(last[name], checkpoint["network"][name]) for name in last)


def test_every_parameter_is_in_the_optimizer_once(trained):
    groups = torch.load(trained / "checkpoint.pt", weights_only=True)["optimizer"]["param_groups"]
    indices = [index for group in groups for index in group["params"]]
    assert sorted(indices) == list(range(len(list(IGTVNetwork().parameters()))))
    assert {group["weight_decay"] for group in groups} == {0.0, 0.01}


def test_last_epoch_is_validated_and_the_rest_by_interval(train, tmp_path):
    train(tmp_path, epochs=3, val_interval=2, samples_per_epoch=1)
    assert [row["val_dice"] != "" for row in read_log(tmp_path)] == [False, True, True]


def test_phantom_is_made_only_where_the_defaults_point(run_verb, tmp_path, monkeypatch, error_text):
    made = []

    def pretend(dataset_dir, **arguments):
        made.append((dataset_dir, arguments))
        raise InterruptedError("enough seen")

    monkeypatch.setattr("igtv.data.prepare.ensure_phantom_dataset", pretend)
    with pytest.raises(RuntimeError) as caught:
        run_verb("training", ["train.json"], output_dir=str(tmp_path / "out"))
    assert "enough seen" in error_text(caught.value)
    assert made[0][0].endswith("output/phantom_gtv") and made[0][1]["task"] == "gtv"
    with pytest.raises(RuntimeError) as caught:
        run_verb("training", ["train.json"], output_dir=str(tmp_path / "out"), dataset_dir=str(tmp_path / "nothing"))
    assert f"{tmp_path / 'nothing'}" in error_text(caught.value) and "does not exist" in error_text(caught.value)
    assert len(made) == 1 and not (tmp_path / "nothing").exists()


def test_a_datalist_alone_trains_on_its_own_cases_and_is_named_so(run_verb, small_run, tiny_phantom, tmp_path):
    """Paths start from the datalist's folder; the phantom's folder plays no part."""
    folder = tmp_path / "clinic"
    shutil.copytree(tiny_phantom, folder)
    (folder / "dataset.json").rename(folder / "list.json")
    settings = {**small_run, "epochs": 1, "samples_per_epoch": 1, "phantom_dir": str(tmp_path / "never made")}
    run_verb("training", ["train.json"], **settings, datalist=str(folder / "list.json"), output_dir=str(tmp_path / "o"))
    card = read_model_card(tmp_path / "o" / "model.pt")
    assert card["trained_on"] == "clinic" and card["name"] == "GTV model trained on clinic"
    assert not (tmp_path / "never made").exists()


def test_a_new_run_sets_the_old_one_aside(train, trained, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    (folder / "notes.txt").write_text("mine")
    old = (folder / "model.pt").read_bytes()
    train(folder, epochs=1, samples_per_epoch=1, use_tensorboard=True, seed=1)
    (previous,) = folder.glob("previous_*")
    assert (previous / "model.pt").read_bytes() == old and (previous / "tensorboard").is_dir()
    assert len(list((folder / "tensorboard").iterdir())) == 1  # of the new run alone
    assert (folder / "notes.txt").is_file() and not (previous / "notes.txt").exists()
    assert (folder / "model.pt").read_bytes() != old and list((folder / "tensorboard").iterdir())


@pytest.mark.parametrize("mistake", [{"dataset_dir": "misspelt"}, {"fold": 7}, {"learning_rate": -1.0}])
def test_a_run_that_cannot_start_leaves_the_earlier_results(train, trained, tmp_path, mistake):
    """Before the cases are looked at, or after everything else was built."""
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    with pytest.raises(RuntimeError):
        train(folder, **{"use_tensorboard": True, **mistake})
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_run_that_cannot_start_makes_no_folder(train, tmp_path):
    with pytest.raises(RuntimeError):
        train(tmp_path / "run", use_tensorboard=True, fold=7)
    assert not (tmp_path / "run").exists()


def test_engines_keep_quiet_in_the_shipped_logging(bundle_dir):
    from logging.config import fileConfig

    root, engines = logging.getLogger(), logging.getLogger("ignite.engine")
    handlers, level = list(root.handlers), root.level
    try:
        fileConfig(bundle_dir / "configs" / "logging.conf", disable_existing_loggers=False)
        assert logging.getLogger("ignite.engine.engine.SupervisedEvaluator").getEffectiveLevel() == logging.WARNING
        assert logging.getLogger("igtv.training.session").getEffectiveLevel() == logging.INFO
    finally:
        root.handlers, engines.level = handlers, logging.NOTSET
        root.setLevel(level)
