"""A full disk under the requests of clients: said with 507, in words, and nothing that was acknowledged is lost."""

import errno
import json
import os
import tempfile

import numpy as np
import pytest
import SimpleITK as sitk
from lib.infer import answers
from lib.options import AppOptions
from lib.studies.local_datastore import PairedLocalDatastore

PARAMS = {"params": json.dumps({"label_info": [{"name": "igtv", "idx": 1}]})}


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def client(serve, made_up_app):
    """A client of a server whose datastore is the real one, over one made-up case."""
    folder = made_up_app.store.folder
    (folder / "pet").mkdir()
    shape = (16, 128, 128)
    made = {"case.nii.gz": np.zeros(shape, np.int16), "pet/case.nii.gz": np.ones(shape, np.float32)}
    for name, voxels in made.items():
        sitk.WriteImage(sitk.GetImageFromArray(voxels), str(folder / name))
    store = PairedLocalDatastore(folder, made_up_app.folders.root)
    made_up_app.datastore = lambda: store
    made_up_app.options = AppOptions(max_upload_mb=8.0)
    return serve()


def submit(client, seed: int, bytes_more: int = 0):
    """A mask of chance, which hardly shrinks; as raw voxels, with further bytes it is no label."""
    voxels = (np.random.default_rng(seed).integers(0, 4, (16, 128, 128)) == 0).tobytes()
    file = {"label": ("label.bin", voxels + bytes(bytes_more))}
    return client.put("/datastore/label?image=case", data=PARAMS, files=file)


@pytest.mark.parametrize("call", ["os.fsync", "os.write", "os.replace", "shutil.copyfileobj", "tempfile.mkdtemp"])
def test_a_submission_to_a_full_disk(client, made_up_app, monkeypatch, leftovers, call):
    labels = made_up_app.datastore().labels
    assert submit(client, 0).status_code == 200
    first = labels.current("case")
    with monkeypatch.context() as patched:
        patched.setattr(call, full)
        refused = submit(client, 1)
    assert refused.status_code == 507 and "disk is full" in refused.json()["detail"]
    assert leftovers() == [] and labels.current("case") == first
    again = submit(client, 2)
    assert again.status_code == 200, again.text
    assert [version.number for version in labels.versions("case")] == [1, 2]
    assert labels.audit.broken_links() == [] and not list(labels.folder.rglob(".writing-*"))


def test_a_large_upload_to_a_full_disk(client, made_up_app, monkeypatch, leftovers):
    """It fails before the app sees it, while the body is read; the framework would blame the client."""
    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", full)
    refused = submit(client, 0, 2 * 2**20)
    assert refused.status_code == 507 and "disk is full" in refused.json()["detail"]
    broken = client.put("/datastore/label?image=case", content=b"x", headers={"content-type": "multipart/form-data"})
    assert broken.status_code == 400 and broken.json()["detail"]
    assert leftovers() == []


def test_an_answer_that_does_not_fit_on_the_disk(made_up_app, monkeypatch, tmp_path):
    """Neither a failure of the writer nor a file that it cut off without a word is sent as a mask."""
    volume, write = np.ones((32, 32, 8), np.uint8), sitk.WriteImage

    def cut_off(image, path, **options):
        write(image, path, **options)
        os.truncate(path, os.path.getsize(path) - 1)

    def fail(*_, **__):
        raise RuntimeError("couldn't write raw data")

    for replacement in (cut_off, fail):
        monkeypatch.setattr(answers.sitk, "WriteImage", replacement)
        for compress in (False, True):
            with pytest.raises(OSError, match="is the disk full") as error:
                answers.write_answer(
                    volume, np.eye(4), {"result_extension": ".nrrd", "result_compress": compress}, tmp_path
                )
            assert error.value.errno == errno.ENOSPC and list(tmp_path.glob("answer-*")) == []
