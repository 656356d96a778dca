"""Every config offers what MONAI asks for, can be built whole, and says clearly when it is used wrongly."""

import json

import pytest
import torch
from igtv.configuration.error_summary import first_cause
from igtv.inference.uncertainty import PredictiveEntropyd
from igtv.networks.igtv_network import IGTVNetwork
from igtv.networks.model_card import write_model_card
from monai.bundle import ConfigWorkflow, run

OVERLAYS = [
    "finetune",
    "evaluate",
    "multi_gpu_train",
    "real_patients",
    "baselines/segresnet",
    "baselines/dynunet",
    "baselines/slices_2d",
]


def workflow(files, kind, **overrides):
    made = ConfigWorkflow(files, workflow_type=kind, logging_file=False, **overrides)
    made.initialize()
    return made


@pytest.mark.parametrize("names", [("train",), ("train", "evaluate"), ("train", "finetune")])
def test_training_configs_offer_every_property(config_files, tiny_training, names):
    assert workflow(config_files(*names), "train", **tiny_training).check_properties() == []


def test_inference_offers_every_property(config_files, tiny):
    assert workflow(config_files("inference"), "infer", **tiny).check_properties() == []


@pytest.mark.parametrize(
    "names, kind, key",
    [(("inference",), "infer", "postprocessing"), (("train", "evaluate"), "train", "evaluation#postprocessing")],
)
def test_entropy_is_computed_only_for_who_wants_it(config_files, tiny, names, kind, key):
    made = workflow(config_files(*names), kind, **tiny)
    assert PredictiveEntropyd not in map(type, made.parser.get_parsed_content(key).transforms)
    made = workflow(config_files(*names), kind, **tiny, outputs=["mask", "uncertainty"])
    assert PredictiveEntropyd in map(type, made.parser.get_parsed_content(key).transforms)


@pytest.mark.parametrize("names", [("train",), *(("train", overlay) for overlay in OVERLAYS if "multi" not in overlay)])
def test_every_combination_resolves(config_files, tiny_training, names):
    """All items can be built, the engines and everything in `run` but the run itself among them."""
    made = workflow(config_files(*names), "train", **tiny_training)
    for key in made.parser.config:
        if key not in ("run", "training", "finetuning", "evaluating", "initialize", "finalize"):
            made.parser.get_parsed_content(key)


def test_a_cnn_is_evaluated_in_windows_of_the_size_it_was_trained_with(config_files, tiny, tmp_path):
    weights = tmp_path / "cnn.pt"
    torch.save({}, weights)
    network = {"variant": "segresnet", "fusion": "none", "sim": "none", "sim_radius": 0}
    prepared = {"spacing_mm": [3.0, 3.0, 3.0], "hu_window": [-100.0, 160.0], "suv_range": [0.0, 15.0]}
    write_model_card(weights, name="CNN", task="gtv", network=network, num_slices=16, patch_size=[64, 80], **prepared)
    files = config_files("train", "baselines/segresnet", "evaluate")
    made = workflow(files, "train", **tiny, model_path=str(weights))
    assert list(made.parser.get_parsed_content("inferer").window_size) == [64, 80, 16]


def test_weights_that_fit_in_part_are_taken_only_when_asked_for(config_files, tiny_training, tmp_path):
    """Of a network with the other slice interaction all else is taken over, and a training starts from there."""
    path = tmp_path / "other.pt"
    torch.save(IGTVNetwork(sim="B").state_dict(), path)
    settings = {**tiny_training, "model_path": str(path)}
    with pytest.raises(RuntimeError) as caught:
        workflow(config_files("train"), "train", **settings).run()
    assert "fits the network only in part; check variant, fusion and sim" in str(caught.value.__cause__)
    assert "allow_partial_weights" in str(caught.value.__cause__)
    made = workflow(config_files("train"), "train", **settings, allow_partial_weights=True)
    theirs = torch.load(path, weights_only=True)
    start = made.parser.get_parsed_content("network").state_dict()
    kept = [name for name in start if not name.startswith("sim.")]
    assert len(kept) > 100 and all(torch.equal(start[name], theirs[name]) for name in kept)
    made.run()
    assert (tmp_path / "out" / "model_last.pt").is_file()


def test_a_missing_file_fails_its_case_and_the_others_are_segmented(config_files, tiny, dataset_dir, tmp_path):
    entries = [{"ct": f"{name}/ct.nii.gz", "pet": f"{name}/pet.nii.gz"} for name in ("gone", "case_2")]
    (tmp_path / "list.json").write_text(json.dumps({"testing": entries}))
    with pytest.raises(RuntimeError) as caught:
        workflow(
            config_files("inference"), "infer", **tiny, datalist=str(tmp_path / "list.json"), outputs=["mask"]
        ).run()
    failed = "1 of 2 case(s) failed, the others are written. gone: ValueError: ct ct.nii.gz does not exist"
    assert str(caught.value.__cause__) == failed
    summary = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert [entry["case"] for entry in summary["failed"]] == ["gone"]
    assert [entry["case"] for entry in summary["predictions"]] == ["case_2"]
    assert (tmp_path / "out" / "case_2" / "pred.nii.gz").is_file()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_alone_says_so(config_files, overlay):
    name = overlay.rsplit("/", 1)[-1]
    with pytest.raises(RuntimeError) as caught:
        run(config_file=config_files(overlay), logging_file=False)
    assert isinstance(caught.value.__cause__, ValueError)
    assert f"{name}.json is an overlay and cannot run alone: give it after" in str(caught.value.__cause__)


def test_overlay_before_its_base_says_where_it_belongs(config_files):
    with pytest.raises(RuntimeError) as caught:
        run(config_file=config_files("finetune", "train"), logging_file=False)
    assert "'finetuning': it belongs to finetune.json, give that file too, after" in str(caught.value.__cause__)


@pytest.mark.parametrize(
    "names", [("train",), ("train", "finetune"), ("train", "evaluate"), ("retrain",), ("campaign",)]
)
def test_seeds_vary_on_the_same_phantom(config_files, names):
    """`--seed 7` trains otherwise, on the cases that any other seed has."""
    made = workflow(config_files(*names), "train", seed=7)
    assert made.parser.get_parsed_content("phantom#seed") == 0 and made.parser.get_parsed_content("seed") == 7
    made = workflow(config_files(*names), "train", phantom_seed=3)
    assert made.parser.get_parsed_content("phantom#seed") == 3 and made.parser.get_parsed_content("seed") == 0


def test_a_part_that_cannot_rest_is_named_before_any_case_is_looked_at(config_files, tiny_training, tmp_path):
    settings = {**tiny_training, "dataset_dir": str(tmp_path / "not there"), "frozen_epochs": 1}
    with pytest.raises(RuntimeError) as caught:
        workflow(config_files("train"), "train", **settings, frozen_parts="encodr").run()
    cause = first_cause(caught.value)
    assert "frozen_parts names encodr; a network's parts are" in str(cause)


@pytest.mark.parametrize(("given", "kept"), [("xy", ["xy"]), (["x", "y"], ["x", "y"]), ([], [])])
def test_an_evaluation_notes_one_flip_as_it_notes_a_list(config_files, tiny, given, kept):
    """Or it would not be comparable with itself."""
    made = workflow(config_files("train", "evaluate"), "train", **tiny, test_time_flips=given)
    assert made.parser.get_parsed_content("evaluation#made_with")["test_time_flips"] == kept


def test_several_processes_do_not_switch_a_setting_off_in_silence(config_files, tiny):
    """What finetune.json lets rest stays asked for; `StagedFreezing` then says that it does not go together."""
    names = ("train", "finetune", "multi_gpu_train")
    assert workflow(config_files(*names), "train", **tiny).parser.config["frozen_epochs"] == 5


def test_the_alias_follows_the_overlay(config_files, tiny):
    """`run training` with evaluate.json on top evaluates; it must never train and overwrite weights."""
    merged = workflow(config_files("train", "evaluate"), "train", **tiny).parser.config
    assert merged["training"] == merged["run"] == merged["evaluating"]
