"""Layout of the JSON files, and equality of what several of them must say alike."""

import json
from collections import Counter

import pytest
from pre_commit_hooks.pretty_format_json import main as pretty_format_json

CARD_KEYS = ("model_card", "variant", "fusion", "sim", "sim_radius", "spacing_mm", "hu_window", "suv_range")
# what makes a file what it is; everything else below the scalars comes from train.json
RUN_KEYS = {"+config_files", "run", "training", "finetuning", "evaluating", "finalize", "output_dir"}


@pytest.fixture(scope="module")
def configs(bundle_dir):
    folder = bundle_dir / "configs"
    return {path.relative_to(folder).with_suffix("").as_posix(): read(path) for path in folder.rglob("*.json")}


def read(path):
    return json.loads(path.read_text(), object_pairs_hook=without_duplicates)


def without_duplicates(pairs):
    """MONAI takes the last of two equal keys; nobody means that."""
    twice = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
    assert not twice, f"keys that stand twice: {twice}"
    return dict(pairs)


def test_json_is_formatted_as_the_zoo_wants(bundle_dir):
    paths = [str(path) for path in (bundle_dir / "configs").rglob("*.json")]
    assert pretty_format_json(["--no-sort-keys", "--indent=4", *paths]) == 0


def test_every_config_names_itself(configs):
    """The key check reads it there; an overlay adds itself to the list of its base."""
    for name, config in configs.items():
        if name != "metadata":
            overlay = "run" in config and "imports" not in config
            assert config["+config_files" if overlay else "config_files"] == [f"{name}.json"], name


def test_overlays_are_small_and_need_no_list_positions(configs):
    for name, config in configs.items():
        if "+config_files" in config:
            paths = [part for key in config for part in key.split("#")[1:]]
            assert not any(part.isdigit() for part in paths), name
            assert len(json.dumps(config)) < 0.45 * len(json.dumps(configs["train"])), name


def without_label(step):
    """A transform of images and label, of the images alone."""
    if "label" not in step["keys"]:
        return step
    kept = [position for position, key in enumerate(step["keys"]) if key != "label"]
    lists = {key: value for key, value in step.items() if key in ("keys", "mode") and isinstance(value, list)}
    chosen = {key: [value[position] for position in kept] for key, value in lists.items()}
    single = {key: value[0] if len(value) == 1 else value for key, value in chosen.items()}
    return {key: single.get(key, value) for key, value in step.items() if key != "allow_missing_keys"}


def test_inference_prepares_images_as_training_does(configs):
    """Step by step the same, but for an annotation server: no label, and strings under `image` and `image_path`."""
    aside, away, *steps = configs["inference"]["preprocessing"]["transforms"]
    assert (aside["keys"], aside["names"]) == ("image_path", "source_path")
    assert (away["_target_"], away["keys"]) == ("DeleteItemsd", ["image", "image_path"])
    assert steps == [without_label(step) for step in configs["train"]["train"]["deterministic_transforms"]]
    assert configs["train"]["train"]["preprocessing"]["transforms"] == "%train#deterministic_transforms"
    assert configs["train"]["validate"]["preprocessing"]["transforms"] == "%train#deterministic_transforms"


def test_evaluation_sees_what_inference_gives(configs):
    """Same steps but for the last, which gives an annotation server its path back; other names for the same."""
    inference = configs["inference"]["postprocessing"]
    evaluate = configs["evaluate"]["evaluation"]
    assert evaluate["preprocessing"] == "@validate#preprocessing"
    *steps, back = inference["transforms"]
    assert (back["keys"], back["names"]) == ("source_path", "image_path")
    renamed = json.loads(json.dumps(steps).replace('"@preprocessing"', '"@evaluation#preprocessing"'))
    assert evaluate["postprocessing"]["transforms"] == renamed
    assert configs["inference"]["test_time_flips"] == configs["evaluate"]["test_time_flips"]
    # the same lesion is chosen while training (no numbers there), by the overlay that evaluates, and by inference
    *_, chosen = configs["train"]["validate"]["postprocessing"]["transforms"]
    rule = chosen["lesions"]
    assert rule == {"_target_": "igtv.inference.lesions.lesion_rule", "lesions": steps[-1]["lesions"]}
    assert chosen | {"lesions": rule["lesions"]} == steps[-1]
    assert configs["train"]["lesions"] == configs["inference"]["lesions"]
    # what the shared `_disabled_` expressions ask: evaluation writes masks alone, inference what the user wants
    assert configs["evaluate"]["outputs"] == ["mask"]
    assert evaluate["writer"]["outputs"] == configs["inference"]["writer"]["outputs"] == "@outputs"


def test_network_is_the_same_everywhere(configs):
    assert configs["inference"]["network_def"] == configs["train"]["network_def"]
    assert "network_def" not in configs["finetune"] | configs["evaluate"]


def test_settings_of_weights_come_from_their_card_everywhere(configs):
    assert all(key in configs["inference"] for key in CARD_KEYS)
    for name in ("finetune", "evaluate"):
        assert {key: configs[name][key] for key in CARD_KEYS} == {key: configs["inference"][key] for key in CARD_KEYS}
        assert configs[name]["model_path"] == configs["inference"]["model_path"]


def test_overlays_change_only_what_train_has(configs):
    """A key that only the overlay knows is its own business; a misspelt one would change nothing, in silence."""
    own = {
        "finetune": {"model_card"},
        "evaluate": {
            "model_card",
            "evaluation_part",
            "outputs",
            "test_time_flips",
            "threshold_baselines",
            "compare",
            "note",
            "predictions_dir",
            "evaluation",
        },
        "multi_gpu_train": {"backend"},
    }
    for name, config in configs.items():
        if "+config_files" in config:
            new = {key.split("#")[0].lstrip("+") for key in config} - set(configs["train"]) - RUN_KEYS
            assert new == own.get(name, set()), name


def test_training_files_that_only_change_settings_run_alike(configs):
    for name in ("finetune", "real_patients", "baselines/segresnet", "baselines/dynunet", "baselines/slices_2d"):
        assert configs[name]["run"] == configs["train"]["run"], name
    alone, several = configs["train"]["run"], configs["multi_gpu_train"]["run"]
    assert [item for item in several if isinstance(item, dict)] == alone
