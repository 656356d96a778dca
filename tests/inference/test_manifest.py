"""The manifest: complete, JSON-safe, the same wherever the data lies, nothing personal."""

import hashlib
import json

import numpy as np
import pytest
import torch
from igtv.inference.manifest import (
    bundle_version,
    data_sha256,
    images_sha256,
    json_safe,
    run_manifest,
    write_manifest,
)


@pytest.fixture
def items(tmp_path):
    result = []
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        for key in ("ct", "pet"):
            (folder / f"{key}.nii.gz").write_bytes(f"{name}{key}".encode() * 50000)
        result.append({"case": name, "ct": str(folder / "ct.nii.gz"), "pet": str(folder / "pet.nii.gz")})
    return result


def test_what_made_the_result(tmp_path, items):
    model = tmp_path / "model.pt"
    model.write_bytes(b"weights")
    manifest = run_manifest(
        "inferring", config={"variant": "nano", "dataset_dir": str(tmp_path), "device": torch.device("cpu")},
        items=items, model_path=model, model_card={"name": "Demo", "task": "gtv"}, device="cpu", seconds=1.234,
        best_epoch=3,
    )  # fmt: skip
    assert manifest["versions"]["torch"] == torch.__version__
    assert manifest["model"] == {
        "name": "Demo", "task": "gtv", "sha256": hashlib.sha256(b"weights").hexdigest(), "file": "model.pt",
    }  # fmt: skip
    assert manifest["data"]["cases"] == 2 and manifest["seconds"] == 1.23 and manifest["best_epoch"] == 3
    assert "cpu" in manifest["scan"]["chosen"] and "not a medical device" in manifest["disclaimer"]
    assert str(tmp_path) not in json.dumps(manifest)
    assert manifest["config"] == {"variant": "nano", "dataset_dir": tmp_path.name, "device": "cpu"}


def test_data_hash_depends_on_content_not_on_place_or_order(tmp_path, items):
    first = data_sha256(items)
    assert data_sha256(items[::-1]) == first
    moved = tmp_path / "elsewhere"
    (tmp_path / "a").rename(moved)
    items[0] |= {key: str(moved / f"{key}.nii.gz") for key in ("ct", "pet")}
    assert data_sha256(items) == first
    with open(items[0]["pet"], "ab") as stream:  # beyond the part that is read
        stream.write(b"x")
    assert data_sha256(items) != first
    label = tmp_path / "label.nii"
    label.write_bytes(bytes(300_000))
    labelled = [{**items[0], "label": str(label)}]
    first = data_sha256(labelled)
    label.write_bytes(bytes(150_000) + b"\1" + bytes(149_999))  # another label of the same size
    assert data_sha256(labelled) != first
    assert data_sha256(items[:1]) != data_sha256([{**items[0], "label": items[0]["pet"]}])


def test_hash_of_a_case_is_one_of_its_images_alone(tmp_path, items):
    first = images_sha256(items[0])
    moved = tmp_path / "elsewhere"
    (tmp_path / "a").rename(moved)
    renamed = {"case": "z", "label": "drawn later", **{key: str(moved / f"{key}.nii.gz") for key in ("ct", "pet")}}
    assert images_sha256(renamed) == first != images_sha256(items[1])
    assert images_sha256({"ct": renamed["pet"], "pet": renamed["ct"]}) != first


def test_json_safe():
    value = {1: (np.float32(0.5), float("nan"), np.arange(2), torch.ones(1)), "f": torch.float32, "p": "~/x/y.nii"}
    assert json_safe(value) == {"1": [0.5, None, [0, 1], [1.0]], "f": "torch.float32", "p": "y.nii"}
    assert json_safe([True, None, "a/b", "SUV g/ml"]) == [True, None, "a/b", "SUV g/ml"]


def test_written_whole(tmp_path):
    path = tmp_path / "new" / "run_manifest.json"
    write_manifest(path, run_manifest("training", seconds=2, results={"dice": np.nan}))
    content = json.loads(path.read_text())
    assert content["command"] == "training" and content["results"] == {"dice": None} and "model" not in content
    write_manifest(path, {"a": 1})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [entry.name for entry in path.parent.iterdir()] == ["run_manifest.json"]


def test_bundle_version(tmp_path):
    (tmp_path / "metadata.json").write_text('{"version": "1.2.3"}')
    assert bundle_version(tmp_path / "metadata.json") == "1.2.3"
    assert bundle_version(tmp_path / "none.json") == "unknown"
