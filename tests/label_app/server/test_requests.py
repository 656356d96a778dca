"""Ids, tags, parameters, files: what is no plain value of the right kind is refused before anything uses it."""

import gzip
import hashlib
import io
import json
import os
import re
import struct

import pytest
import SimpleITK as sitk
from lib.server.identifiers import image_id

from .conftest import ELSEWHERE

FOREIGN_IDS = [
    "../secret",
    "/etc/hostname",
    "a/b",
    "a\\b",
    "..",
    ".hidden",
    "a..b",
    "",
    "x" * 200,
    "a b",
    "a\x00b",
    "%2e%2e",
]


def volume(local_store, case="case_a") -> bytes:
    return (local_store.folder / f"{case}.nii.gz").read_bytes()


@pytest.mark.parametrize("name", FOREIGN_IDS)
def test_ids_that_are_no_ids(name):
    with pytest.raises(ValueError, match="no valid image id"):
        image_id(name)


@pytest.mark.parametrize("case", ["case_a", "1.2.840.113619.2.55", "STS_001", "a-b.c"])
def test_ids_that_are(case):
    assert image_id(case) == case


def test_nothing_outside_the_store_is_written_or_read(local, made_up_app, tmp_path, leftovers):
    """Images, labels, tags, and inference on a path."""
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    file = {"file": ("x.nii.gz", volume(made_up_app.store))}
    label = {"label": ("x.nii.gz", volume(made_up_app.store))}
    for name in ("../x", "..%2Fx", "/tmp/x"):
        assert local.put("/datastore/image", params={"image": name}, files=file).status_code == 403
        assert local.put("/datastore/label", params={"image": name}, files=label).status_code == 400
        for tag in ("../x", "../../lib", "/tmp"):
            answer = local.put("/datastore/label", params={"image": "case_a", "tag": tag}, files=label)
            assert answer.status_code == 400 and "tag" in answer.json()["detail"]
        assert local.get("/datastore/label", params={"label": "case_a", "tag": name}).status_code == 400
    for path in ("/etc/hostname", str(made_up_app.store.folder / "case_a.nii.gz"), "../case_a"):
        assert local.post("/infer/igtv", params={"image": path}).status_code == 400
        assert local.get("/datastore/image", params={"image": path}).status_code == 400
    assert not made_up_app.task.requests and not made_up_app.store.saved
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before
    assert leftovers() == []


def test_an_id_that_is_also_a_file_name_is_still_an_id(local, made_up_app, monkeypatch, tmp_path):
    (tmp_path / "readme.md").write_text("a file in the working folder")
    monkeypatch.chdir(tmp_path)
    assert local.post("/infer/igtv", params={"image": "readme.md"}).status_code == 404
    assert not made_up_app.task.requests


def test_only_volumes_are_uploaded(local, made_up_app):
    for ending in (".py", ".pt", ".zip", ".tar.gz", ".nii.gz.py", ".json", ""):
        for address, field in (("/session/", "files"), ("/datastore/label?image=case_a", "label")):
            answer = local.put(address, files={field: (f"x{ending}", b"x")})
            assert answer.status_code == 415, (address, ending)
    assert not made_up_app.store.saved


def test_images_are_not_uploaded(local, made_up_app, leftovers):
    names = {"file": ("new.nii.gz", volume(made_up_app.store))}
    for address in ("/datastore/image?image=new", "/datastore/image?image=case_a", "/datastore/?image=as_slicer"):
        answer = local.put(address, files=names)
        assert answer.status_code == 403 and "CT and PET" in answer.json()["detail"]
    assert leftovers() == []


@pytest.mark.parametrize("mark", ["$", "@", "%", " $"])
def test_configuration_expressions_are_refused(local, made_up_app, mark):
    """Wherever they stand, also inside lists and under known names."""
    for params in ({"max_epochs": f"{mark}1 + 1"}, {"name": [f"{mark}x"]}, {f"{mark}key": 1}, {"a": {"b": f"{mark}x"}}):
        assert local.post("/train/igtv", json=params).status_code == 400, params
        assert local.post("/train/", json={"igtv": params}).status_code == 400, params
        assert local.post("/activelearning/first", json=params).status_code == 400, params
        assert local.post("/infer/igtv?image=case_a", data={"params": json.dumps(params)}).status_code == 400, params
    assert not made_up_app.learning.started and not made_up_app.task.requests


REFUSED_PARAMETERS = [
    {"image": "/etc/hostname"},
    {"model": "other"},
    {"session": {"image": "/etc/hostname"}},
    {"model_filename": "../x.pt"},
    {"device": "cuda:99"},
    {"result_extension": ".py"},
    {"result_dtype": "object"},
    {"result_write_to_file": False},
    {"foreground": [["a", 1, 2]]},
    {"foreground": [[1, 2, 3]] * 2001},
    {"foreground": "x"},
    {"slice": -1},
    {"output": "weights"},
    {"label_tag": "final"},
    {"threshold": "high"},
    {"client_id": "x" * 300},
]


def test_parameters_that_inference_does_not_know(local, made_up_app):
    for params in REFUSED_PARAMETERS:
        answer = local.post("/infer/igtv?image=case_a", data={"params": json.dumps(params)})
        assert answer.status_code == 400 and next(iter(params)) in answer.json()["detail"], params
    assert not made_up_app.task.requests


def test_parameters_as_both_viewers_send_them(local, made_up_app):
    slicer = {
        "output": "mask",
        "device": "cpu",
        "result_extension": ".nrrd",
        "result_dtype": "uint8",
        "client_id": None,
    }
    ohif = {"result_extension": ".nrrd", "result_dtype": "uint8", "result_compress": False, "restore_label_idx": False}
    clicks = {"foreground": [[1, 2, 3]], "background": [], "label": "igtv", "roi": [], "reset_state": True, "slice": 2}
    for params in (slicer, ohif, {**slicer, **clicks}, {"threshold": 0.5}):
        answer = local.post("/infer/igtv?image=case_a&output=image", data={"params": json.dumps(params)})
        assert answer.status_code == 200, answer.text
    assert made_up_app.task.requests[2]["foreground"] == [[1, 2, 3]]
    assert made_up_app.task.requests[0]["case_id"] == "case_a"
    assert made_up_app.task.requests[0]["user"] == "local"


def test_json_that_is_none(local):
    for text in ("{", "[1]", '"x"', "NaN", '{"a": NaN}', "[" * 5000, '{"a":' * 50 + "1" + "}" * 50):
        answer = local.post("/infer/igtv?image=case_a", data={"params": text})
        assert answer.status_code == 400 and answer.json()["detail"], text[:20]


def test_training_takes_plain_values_only(local, made_up_app):
    for params in ({"max_epochs": 0}, {"max_epochs": 1.5}, {"gpus": "0"}, {"run_id": "x"}, {"start_from": "elsewhere"}):
        assert local.post("/train/igtv", json=params).status_code == 400, params
    assert (
        local.post("/train/igtv", json={"max_epochs": 3, "start_from": "current", "name": "first"}).status_code == 200
    )
    assert made_up_app.learning.started == [
        ("igtv", {"max_epochs": 3, "start_from": "current", "name": "first", "user": "local"})
    ]


def test_a_second_training_is_refused_or_waits(local, made_up_app):
    """3D Slicer gets 429, OHIF's way always stands in line."""
    assert local.post("/train/igtv", json={}).status_code == 200
    assert local.post("/train/igtv", json={}).status_code == 429
    assert local.post("/train/igtv?enqueue=true", json={}).status_code == 200
    assert local.post("/train/", json={"igtv": {"max_epochs": 1}}).status_code == 200
    assert local.get("/train/?check_if_running=true").status_code == 404


CLOSED = [
    ("GET", "/model/igtv"),
    ("PUT", "/model/igtv"),
    ("DELETE", "/model/igtv"),
    ("GET", "/logs/"),
    ("GET", "/logs/gpu"),
    ("POST", "/reload"),
    ("GET", "/datastore/dataset"),
    ("DELETE", "/datastore/?id=case_a"),
    ("DELETE", "/datastore/image?id=case_a"),
    ("DELETE", "/datastore/label?id=case_a&tag=final"),
    ("PUT", "/datastore/image/info?image=case_a"),
    ("PUT", "/datastore/label/info?label=case_a&tag=final"),
    ("PUT", "/datastore/updatelabelinfo?label=case_a&tag=final"),
    ("POST", "/infer/wsi/igtv"),
]


def test_closed_addresses_say_why(local):
    for method, path in CLOSED:
        answer = local.request(method, path)
        assert answer.status_code == 403 and len(answer.json()["detail"]) > 10, (method, path)


def test_errors_are_json_a_viewer_can_show(local, made_up_app, leftovers):
    """Unknown names, a failing task: never plain text, never a path of the server."""
    unknown = [
        local.post("/infer/other?image=case_a"),
        local.post("/infer/igtv?image=unknown"),
        local.post("/activelearning/other", json={}),
        local.post("/train/other", json={}),
        local.get("/datastore/label?label=case_a&tag=final"),
        local.get("/nothing/here"),
    ]
    for answer in unknown:
        assert answer.status_code == 404 and isinstance(answer.json()["detail"], str), answer.url
    failed = local.post("/infer/igtv?image=case_a", data={"params": json.dumps({"label": "break"})})
    assert failed.status_code == 500 and "KeyError" in failed.json()["detail"] and "DOE" not in failed.text
    missing = local.put("/datastore/label")
    assert missing.status_code == 422 and "image" in missing.json()["detail"]
    assert leftovers() == []


def test_a_failure_of_the_servers_own_has_a_number_under_which_the_log_has_the_rest(local, caplog):
    failed = local.post("/infer/igtv?image=case_a", data={"params": json.dumps({"label": "break"})})
    assert failed.status_code == 500
    (number,) = re.findall(r"under number ([0-9a-f]{8})\.", failed.json()["detail"])
    (record,) = [one for one in caplog.records if number in one.getMessage()]
    assert isinstance(record.exc_info[1], KeyError) and "a secret path /srv/patients/DOE" in caplog.text
    assert "Traceback" in caplog.text and "in compute" in caplog.text


def test_body_limit_announced_and_not(local, made_up_app, leftovers):
    """1 MB in these tests."""
    large = {"label": ("x.nii.gz", b"0" * 1_200_000)}
    assert local.put("/datastore/label?image=case_a", files=large).status_code == 413

    def parts():
        head = b'--b\r\nContent-Disposition: form-data; name="label"; filename="x.nii.gz"\r\n\r\n'
        yield head
        for _ in range(12):
            yield b"0" * 100_000
        yield b"\r\n--b--\r\n"

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    assert local.put("/datastore/label?image=case_a", content=parts(), headers=headers).status_code == 413
    assert not made_up_app.store.saved and leftovers() == []


def test_label_is_handed_on_with_the_verified_name(serve, accounts, made_up_app, leftovers):
    client = serve(accounts, client=ELSEWHERE, base_url="https://server.example")
    token = client.post("/auth/token", data={"username": "anna", "password": "correct horse battery"}).json()
    headers = {"Authorization": f"Bearer {token['access_token']}", "User-Agent": "Slicer/5.8"}
    params = json.dumps({"label_info": [{"name": "igtv", "idx": 1}], "client_id": "somebody else"})
    answer = client.put(
        "/datastore/label?image=case_a", data={"params": params}, files={"label": ("a.nrrd", b"mask")}, headers=headers
    )
    assert answer.json() == {"image": "case_a", "label": "case_a"}
    ((case, name, content, tag, given),) = made_up_app.store.saved
    assert (case, name, content, tag) == ("case_a", "label.nrrd", b"mask", "final")
    assert (given["user"], given["client_id"], given["client"]) == ("anna", "somebody else", "Slicer/5.8")
    forged = json.dumps({"user": "ben"})
    refused = client.put(
        "/datastore/label?image=case_a", data={"params": forged}, files={"label": ("a.nrrd", b"m")}, headers=headers
    )
    assert refused.status_code == 400
    assert leftovers() == []


def test_next_sample_tells_paths_to_this_computer_only(serve, accounts, made_up_app):
    assert "path" in serve().post("/activelearning/first", json={"client_id": "x"}).json()
    client = serve(accounts, client=ELSEWHERE, base_url="https://server.example")
    token = client.post("/auth/token", data={"username": "anna", "password": "correct horse battery"}).json()
    headers = {"Authorization": f"Bearer {token['access_token']}"}
    assert client.get("/datastore/?output=train", headers=headers).status_code == 403
    answer = client.post("/activelearning/first", json={}, headers=headers).json()
    assert answer["id"] == "case_a" and "path" not in answer
    file = client.get("/datastore/image?image=case_a", headers=headers)
    assert (
        answer["name"] == "case_a.nii.gz" and answer["checksum"] == f"SHA256:{hashlib.sha256(file.content).hexdigest()}"
    )
    assert made_up_app.store.get_image_info("case_a")["strategy"]["first"]["user"] == "anna"


def test_sessions_hold_two_volumes_and_unpack_nothing(local, made_up_app, leftovers):
    files = [("files", ("ct.nii.gz", io.BytesIO(b"x"))), ("files", ("pet.nii.gz", io.BytesIO(b"y")))]
    assert local.put("/session/?uncompress=true", files=files[:1]).status_code == 400
    assert local.put("/session/", files=[("files", ("x.tar.gz", b"x"))]).status_code == 415
    assert local.put("/session/", files=[("files", ("../../ct.py", b"x"))]).status_code == 415
    assert local.put("/session/", files=files[:1] * 3).status_code == 400
    for names in (("ct.nii.gz", "CT.nii.gz"), ("ct.nii.gz", "other.nii.gz"), ("pet.nii.gz", "PT.nii.gz")):
        twice = [("files", (name, volume(made_up_app.store))) for name in names]
        answer = local.put("/session/", files=twice)
        assert answer.status_code == 400 and "Two files for one role" in answer.json()["detail"], names
    for session in ("..", "../x", "0" * 36):
        assert local.post("/infer/igtv", params={"session_id": session}).status_code in (400, 404)
    assert leftovers() == []
    assert os.listdir(made_up_app.folders.sessions) == []


def test_a_session_is_described_never_given_back_and_ends_when_the_client_says_so(local, made_up_app):
    files = [("files", (name, volume(made_up_app.store))) for name in ("ct.nii.gz", "pet.nii.gz")]
    session = local.put("/session/", files=files).json()["session_id"]
    folder = made_up_app.folders.sessions / session
    assert local.get(f"/session/{session}").json()["name"] == session
    refused = local.get(f"/session/{session}?image=true")
    assert refused.status_code == 403 and "not given back" in refused.json()["detail"]
    assert sorted(path.name for path in (folder / "case").iterdir()) == ["ct.nii.gz", "pet.nii.gz"]
    assert local.delete(f"/session/{session}").json()["name"] == session
    assert not folder.exists()
    for gone in (local.get(f"/session/{session}"), local.delete(f"/session/{session}")):
        assert gone.status_code == 404 and "does not exist or has expired" in gone.json()["detail"]
    assert local.post("/infer/igtv", params={"session_id": session}).status_code == 404


def test_an_image_is_confirmed_by_its_checksum(local, made_up_app):
    """As 3D Slicer asks before it takes what it downloaded earlier."""
    sha256, sha512 = (kind(volume(made_up_app.store)).hexdigest() for kind in (hashlib.sha256, hashlib.sha512))
    other = hashlib.sha256(b"another image").hexdigest()
    for check_sum, status in (
        ("", 200),
        (f"SHA256:{sha256}", 200),
        (f"SHA512:{sha512}", 200),
        (f"sha256:{sha256.upper()}", 200),
        (sha256, 200),
        (f"SHA256:{other}", 404),
        (f"SHA512:{sha256}", 404),
        (f"SHA256:{sha256[:-1]}", 404),
        (f"MD5:{hashlib.md5(volume(made_up_app.store)).hexdigest()}", 400),
    ):
        answer = local.head("/datastore/image", params={"image": "case_a", "check_sum": check_sum})
        assert answer.status_code == status, check_sum
    unknown = local.head("/datastore/image", params={"image": "case_x", "check_sum": f"SHA256:{sha256}"})
    assert unknown.status_code == 404


def test_volumes_of_a_session_are_looked_at_first(local, made_up_app, leftovers, tmp_path):
    """Text, voxels in another file, and a header of 2^45 voxels in 400 bytes."""
    path = tmp_path / "small.nrrd"
    sitk.WriteImage(sitk.Image(4, 4, 4, sitk.sitkInt16), str(path))
    whole = path.read_bytes()
    elsewhere = [
        whole.replace(b"\n\n", b"\n" + line + b"\n\n", 1) for line in (b"data file: x.raw", b"DATAFILE: x.raw")
    ]
    elsewhere += [whole.partition(b"\n\n")[0] + b"\ndata file: x.raw\n"]
    header = bytearray(gzip.decompress(volume(made_up_app.store)))
    header[40:56] = struct.pack("<8h", 3, 2**15 - 1, 2**15 - 1, 2**15 - 1, 1, 1, 1, 1)
    bomb = gzip.compress(bytes(header))
    for name, content, status in (
        ("ct.nii.gz", b"text", 400),
        *(("ct.nrrd", content, 400) for content in elsewhere),
        ("ct.nii.gz", bomb, 413),
    ):
        answer = local.put("/session/", files=[("files", (name, content))])
        assert answer.status_code == status, answer.text
    assert leftovers() == [] and os.listdir(made_up_app.folders.sessions) == []
    files = [("files", ("ct.nii.gz", volume(made_up_app.store))), ("files", ("pet.nrrd", whole))]
    assert local.put("/session/", files=files).status_code == 200
