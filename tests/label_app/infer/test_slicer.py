"""The requests of 3D Slicer's module MONAI Label, in their order, and those of our own module, against the server.

`monailabel.client` is the very client that the Slicer module carries. What surrounds the calls here (first value of
every option, `.nrrd` and uint8, the order of segments, all clicks every time) is what the module does.
"""

import http.server
import importlib
import shutil
import sys
import threading
import urllib.request
from pathlib import Path
from urllib.parse import quote_plus

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import uvicorn
from lib.server.access_options import AccessOptions
from lib.server.application import create_application
from monailabel.client import MONAILabelClient
from monailabel.client.client import MONAILabelClientException

from ..waiting import wait_for
from .conftest import MISSED_MM, TUMOUR_MM, PetSegmenter, voxel_at


@pytest.fixture(scope="module")
def served(tmp_path_factory, studies_made, label_app_dir):
    """(address, app): the app as it is, but for the network, which is the PET. No request leaves a file behind."""
    studies = tmp_path_factory.mktemp("slicer") / "studies"
    shutil.copytree(studies_made, studies)
    app = importlib.import_module("main").IgtvApp(str(label_app_dir), str(studies), {"warm_up": "false"})
    app.proposals.segmenter = PetSegmenter()
    config = uvicorn.Config(create_application(app, AccessOptions()), port=0, log_level="error", timeout_keep_alive=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_for(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}", app
    try:
        nothing_is_left_behind(app)
    finally:
        server.should_exit = True
        thread.join(60)


def nothing_is_left_behind(app):
    """In the folder of temporary files, from which files go after their answer was sent."""
    wait_for(lambda: not list(app.folders.temporary.iterdir()), what="the end of the files of requests")


@pytest.fixture
def slicer(served, tmp_path):
    """The module's client, with the user name of its settings."""
    return MONAILabelClient(served[0], str(tmp_path), "user-xyz")


@pytest.fixture
def module(label_app_dir, monkeypatch):
    """Our module's client, found as Slicer finds it."""
    monkeypatch.syspath_prepend(str(label_app_dir / "slicer" / "IGTVPet"))
    yield importlib.import_module("IGTVPetLib.client")
    sys.modules.pop("IGTVPetLib.client", None)


def first_values(info, section, name):
    """`getParamsFromConfig` of the module."""
    config = info[section][name].get("config", {})
    return {key: value[0] if isinstance(value, list) else value for key, value in config.items()}


def infer(client, model, case, params, session=None):
    """`MONAILabelLogic.infer` of the module."""
    params = {**params, "result_extension": ".nrrd", "result_dtype": "uint8"}
    return client.infer(model, case, params, None, None, session)


def submit(client, case, mask, ct, tmp_path, params):
    """Segments exported to a label map on the CT's grid."""
    path = tmp_path / "label.nii.gz"
    nib.save(nib.Nifti1Image(mask.astype(np.uint8), nib.load(ct).affine), path)
    return client.save_label(case, str(path), params=params)


def test_session_of_an_annotator(served, slicer, tmp_path):
    """Connect, next sample, load, automatic, clicks, submit, next."""
    address, app = served
    info = slicer.info()
    kinds = {name: model["type"] for name, model in info["models"].items()}
    assert [name for name, kind in kinds.items() if kind == "segmentation"] == ["igtv", "gtv"]
    assert [name for name, kind in kinds.items() if kind == "deepgrow"] == ["igtv_clicks", "igtv_end_slices"]
    assert "igtv" in info["labels"]
    assert next(iter(info["strategies"])) == "uncertainty"

    sample = slicer.next_sample("first", first_values(info, "strategies", "first"))
    case = sample["id"]
    assert case == "LPI" and Path(sample["path"]).is_file()  # on the same computer it is loaded from there
    with urllib.request.urlopen(f"{address}/datastore/image?image={quote_plus(case)}") as answer:
        (tmp_path / "ct.nii.gz").write_bytes(answer.read())
    ct = tmp_path / "ct.nii.gz"
    assert "original" not in slicer.datastore()["objects"][case]["labels"]

    file, params = infer(slicer, "igtv", case, first_values(info, "models", "igtv"))
    assert list(params["label_names"]) == ["igtv"]
    proposed = sitk.GetArrayFromImage(sitk.ReadImage(file)).transpose()
    assert proposed.shape == nib.load(ct).shape and proposed.any()

    # a click on what was missed, one on the edge that is too much; all clicks with every request
    inside, outside = voxel_at(ct, MISSED_MM), voxel_at(ct, TUMOUR_MM + [0, 0, 13])
    options = first_values(info, "models", "igtv_clicks")
    file, params = infer(
        slicer, "igtv_clicks", case, {"label": "igtv", "foreground": [inside], "background": [outside], **options}
    )
    corrected = sitk.GetArrayFromImage(sitk.ReadImage(file)).transpose()
    assert corrected[tuple(inside)] == 1 and corrected[tuple(outside)] == 0
    assert params["radius_mm"] == 40.0

    # both labels of /info/ are segments; the second one is empty
    names = [{"name": name, "idx": number + 1} for number, name in enumerate(info["labels"])]
    assert submit(slicer, case, corrected, ct, tmp_path, {"label_info": names})["image"] == case
    stored = nib.load(slicer.download_label(case, "final"))
    assert (np.asarray(stored.dataobj) == corrected).all()
    event = app.datastore().labels.current(case).event
    assert event["model"] == {"name": "igtv", "version": "1"}
    assert 0.3 < event["edit_dice"] < 1

    assert slicer.info()["datastore"]["completed"] == 1
    assert slicer.next_sample("first", {})["id"] == "LPS"
    # loading the labelled case again brings the proposal
    labels = slicer.datastore()["objects"][case]["labels"]
    assert set(labels) == {"original", "final"}
    assert nib.load(slicer.download_label(case, "original")).get_fdata().any()


def test_two_annotators(served):
    """Each gets a case of their own."""
    anna, ben = (MONAILabelClient(served[0], None, name) for name in ("anna", "ben"))
    assert anna.next_sample("random", {})["id"] != ben.next_sample("random", {})["id"]


def test_end_slice_mark(slicer, served):
    ct = served[1].studies + "/RAS.nii.gz"
    voxel = voxel_at(ct, TUMOUR_MM + [0, 0, 6])
    file, _ = infer(
        slicer, "igtv_end_slices", "RAS", {"label": "igtv", "foreground": [voxel], "background": [], "radius_mm": 40.0}
    )
    mask = sitk.GetArrayFromImage(sitk.ReadImage(file))
    assert np.flatnonzero(mask.any(axis=(1, 2)))[-1] == voxel[2]


def test_own_volume_without_pet(slicer, served, tmp_path):
    """The module sends the first volume of the scene only: refused in words a user understands."""
    path = tmp_path / "volume.nii.gz"
    shutil.copy(served[1].studies + "/RAS.nii.gz", path)
    session = slicer.create_session(str(path))["session_id"]
    assert slicer.get_session(session)
    with pytest.raises(MONAILabelClientException, match=r"pet\.nii\.gz") as refused:
        infer(slicer, "igtv", "volume", {"output": "mask"}, session)
    assert "Status: 400" in refused.value.msg


@pytest.mark.parametrize(
    ("model", "params", "message"),
    [
        ("igtv_clicks", {"foreground": [[999, 0, 0]]}, "outside the volume"),
        ("igtv", {"output": "all of it"}, "output"),
        ("nobody", {}, "no model"),
    ],
)
def test_refusals_are_texts(slicer, served, model, params, message):
    with pytest.raises(MONAILabelClientException, match=message):
        infer(slicer, model, "RAS", params)
    nothing_is_left_behind(served[1])


def test_empty_label_needs_a_word(slicer, served, tmp_path):
    ct = served[1].studies + "/RAS.nii.gz"
    with pytest.raises(MONAILabelClientException, match="empty"):
        submit(slicer, "RAS", np.zeros((64, 64, 24)), ct, tmp_path, {"label_info": [{"name": "igtv", "idx": 1}]})


def test_our_module_loads_the_pet(module, served, tmp_path):
    """In SUV, on its own grid, byte by byte the file of the server."""
    path = module.IgtvClient(served[0]).load_pet("oblique", str(tmp_path))
    assert path.name == "oblique__pet.nii.gz"
    assert path.read_bytes() == Path(served[1].studies, "pet", "oblique.nii.gz").read_bytes()


def test_our_module_loads_the_uncertainty(module, served, tmp_path):
    path = module.IgtvClient(served[0], client_id="anna").load_map("oblique", str(tmp_path))
    image, ct = nib.load(path), nib.load(served[1].studies + "/oblique.nii.gz")
    assert image.shape == ct.shape and np.allclose(image.affine, ct.affine, atol=1e-4)
    assert image.get_fdata().max() == pytest.approx(0.469, abs=2e-3)  # entropy of 0.9 in bits


@pytest.mark.parametrize(
    ("output", "inside", "outside", "unit"), [("probability", 0.9, 0.02, "1"), ("uncertainty", 0.469, 0.1414, "bit")]
)
def test_maps_for_any_client(slicer, output, inside, outside, unit):
    """MONAI Label's client asks for them as for a mask; the network here is sure to 0.9 and to 0.02."""
    params = {"output": output, "result_extension": ".nii.gz", "result_dtype": "float32"}
    file, answer = slicer.infer("igtv", "oblique", params)
    values = nib.load(file).get_fdata()
    assert answer["output"] == output and answer["unit"] == unit
    assert values.max() == pytest.approx(inside, abs=2e-3) and values.min() == pytest.approx(outside, abs=2e-3)


def test_our_module_sends_both_volumes(module, served, tmp_path):
    client = module.IgtvClient(served[0])
    studies = Path(served[1].studies)
    session = client.open_session(str(studies / "LPS.nii.gz"), str(studies / "pet" / "LPS.nii.gz"))
    mask = nib.load(client.segment_session(session, str(tmp_path)))
    assert mask.get_fdata()[tuple(voxel_at(studies / "LPS.nii.gz", TUMOUR_MM))] == 1


def test_our_module_submits_no_tumour(module, served, tmp_path):
    address, app = served
    path = tmp_path / "empty.nii.gz"
    ct = nib.load(app.studies + "/oblique.nii.gz")
    nib.save(nib.Nifti1Image(np.zeros(ct.shape, np.uint8), ct.affine), path)
    module.IgtvClient(address, client_id="anna").submit_no_tumour("oblique", str(path))
    (entry,) = (entry for entry in app.datastore().final_labels() if entry["image"] == "oblique")
    assert entry["no_tumour"] is True


def test_our_module_says_what_went_wrong(module, served, tmp_path):
    client = module.IgtvClient(served[0])
    with pytest.raises(module.ServerError, match="no image"):
        client.load_pet("nobody", str(tmp_path))
    assert not list(tmp_path.iterdir())
    with pytest.raises(module.ServerError, match="does not answer"):
        module.IgtvClient("http://127.0.0.1:9").load_pet("RAS", str(tmp_path))
    with pytest.raises(ValueError, match="http://"):
        module.IgtvClient("127.0.0.1:8000")


def test_the_token_goes_to_its_server_alone(module, monkeypatch):
    """MONAI Label's module loads images through `urllib.request` without it; redirects do not carry it elsewhere."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.server.server_port, self.headers.get("Authorization")))
            self.send_response(302 if self.path == "/away" else 200)
            self.send_header("Location", f"http://127.0.0.1:{other.server_port}/")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    monkeypatch.setattr(urllib.request, "_opener", None)
    own, other = (http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) for _ in range(2))
    with own, other:
        for server in (own, other):
            threading.Thread(target=server.serve_forever, daemon=True).start()
        module.lend_token(f"http://127.0.0.1:{own.server_port}/", "first")
        module.lend_token(f"http://127.0.0.1:{own.server_port}", "secret")
        for server, path in ((own, "/datastore/image"), (other, "/datastore/image"), (own, "/away")):
            urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}{path}", timeout=10).close()
        for server in (own, other):
            server.shutdown()
    with_token, without = (own.server_port, "Bearer secret"), (other.server_port, None)
    assert asked == [with_token, without, with_token, without]
