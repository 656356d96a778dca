"""metadata.json against MONAI's schema, and the rules of the model zoo's checks for a bundle, restated."""

import importlib.metadata
import json
import re

import pytest
from monai.bundle import verify_metadata

# name in metadata's required_packages_version or its own entry -> name of the distribution
PACKAGES = {"monai_version": "monai", "pytorch_version": "torch", "numpy_version": "numpy"}
LARGEST_FILE_MB = 20


@pytest.fixture(scope="module")
def metadata(bundle_dir):
    return json.loads((bundle_dir / "configs" / "metadata.json").read_text())


@pytest.fixture(scope="module")
def pinned(project_dir):
    """Name -> version of the pinned lines of requirements.txt."""
    lines = (project_dir / "requirements.txt").read_text().splitlines()
    return dict(re.fullmatch(r"([\w.-]+)==([\w.+-]+)", line).groups() for line in lines if re.match(r"[\w.-]+==", line))


def test_schema_holds_offline(bundle_dir, shared_dir):
    """With the schema in place MONAI downloads nothing."""
    schema = shared_dir / "data" / "schema" / "meta_schema_20240725.json"
    verify_metadata(meta_file=str(bundle_dir / "configs" / "metadata.json"), filepath=str(schema))


def test_a_wrong_entry_breaks_the_schema(bundle_dir, shared_dir, metadata, tmp_path):
    """The check above is one: without a required entry it fails."""
    schema = shared_dir / "data" / "schema" / "meta_schema_20240725.json"
    broken = tmp_path / "metadata.json"
    broken.write_text(json.dumps({key: value for key, value in metadata.items() if key != "network_data_format"}))
    with pytest.raises(ValueError, match="network_data_format"):
        verify_metadata(meta_file=str(broken), filepath=str(schema))


def test_changelog_tells_of_this_version(metadata):
    assert metadata["changelog"][metadata["version"]]


def test_versions_are_those_of_requirements(metadata, pinned):
    stated = {name: metadata[entry] for entry, name in PACKAGES.items()} | metadata["required_packages_version"]
    assert {name: pinned.get(name) for name in stated} == stated


def test_pinned_versions_are_installed(pinned):
    """The numbers in the docs and the tests belong to these versions."""
    installed = {name: importlib.metadata.version(name).split("+")[0] for name in ("torch", "monai", "numpy")}
    assert installed == {name: pinned[name] for name in installed}


def test_annotation_server_reads_a_volume_network_with_one_label(metadata):
    """MONAI Label takes the dimension from spatial_shape and the labels from channel_def without "background"."""
    image = metadata["network_data_format"]["inputs"]["image"]
    pred = metadata["network_data_format"]["outputs"]["pred"]
    assert (len(image["spatial_shape"]), image["num_channels"], pred["num_channels"]) == (3, 2, 1)
    assert [name for name in pred["channel_def"].values() if name.lower() != "background"] == ["IGTV"]


def test_files_the_zoo_asks_for(bundle_copy, bundle_dir):
    """Exact names."""
    for name in ("LICENSE", "configs/metadata.json", "configs/inference.json", "models/model.pt", "models/gtv.pt"):
        assert (bundle_copy / name).is_file(), name
    assert "Apache License" in (bundle_dir / "LICENSE").read_text()
    assert not list(bundle_dir.glob("large_files.*"))  # nothing is fetched from elsewhere


def test_no_file_is_too_large(bundle_dir, bundle_copy):
    """Everything but what runs leave behind; the weights too."""
    tracked = [path for path in bundle_dir.rglob("*") if path.is_file() and "output" not in path.parts]
    sizes = {path.name: path.stat().st_size / 1e6 for path in [*tracked, *bundle_copy.glob("models/*")]}
    assert {name: size for name, size in sizes.items() if size > LARGEST_FILE_MB} == {}


def test_no_personal_paths_in_the_configs(bundle_dir):
    """Nor colours, links or names with `#`, which MONAI rewrites to `::` in every string."""
    for path in (bundle_dir / "configs").rglob("*.json"):
        text = path.read_text()
        assert not re.search(r'"[^"]*(/(home|root|work)/|[A-Z]:\\)', text), path.name
        for value in _strings(json.loads(text)):
            assert "#" not in re.sub(r"[@%][\w#]+", "", value), f"{path.name}: {value}"


def test_package_and_folder_names(project_dir, bundle_dir):
    """MONAI Label unloads every module called `scripts`, so no folder has that name."""
    assert not (bundle_dir / "scripts").exists()
    assert not (project_dir / "scripts").exists()
    init = (bundle_dir / "igtv" / "__init__.py").read_text()
    assert "import" not in init.split('"""')[-1]


def _strings(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for entry in value:
            yield from _strings(entry)
    elif isinstance(value, str):
        yield value


def test_configs_exist_for_every_verb(bundle_dir):
    """`run`, which MONAI Label and the zoo call, in every file that can be run, and the key check before all else."""
    verbs = {
        "train": "training",
        "finetune": "finetuning",
        "evaluate": "evaluating",
        "inference": "inferring",
        "multi_gpu_train": "training",
        "real_patients": "training",
        "baselines/segresnet": "training",
        "baselines/dynunet": "training",
        "baselines/slices_2d": "training",
        "simulate": "simulating",
        "simulate_breathing": "simulating",
        "pool": "pooling",
        "import_dicom": "importing",
        "export": "exporting",
        "deidentify": "deidentifying",
        "retrain": "retraining",
        "campaign": "campaigning",
        "study_transfer": "studying",
    }
    folder = bundle_dir / "configs"
    configs = {
        path.relative_to(folder).with_suffix("").as_posix(): json.loads(path.read_text())
        for path in folder.rglob("*.json")
    }
    runs = {name: config for name, config in configs.items() if "run" in config}
    assert set(runs) == set(verbs) == set(configs) - {"metadata"}
    for name, config in runs.items():
        assert config[verbs[name]] == "%run", name
        assert config["run"][0] == {"_target_": "igtv.configuration.key_guard.check_keys"}, name
