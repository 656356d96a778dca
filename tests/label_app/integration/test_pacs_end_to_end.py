"""A real CT+PET study in a PACS, the server as a process: MONAI Label's client, then OHIF in a real browser."""

from pathlib import Path

import numpy as np
import pytest
import requests
import SimpleITK as sitk
from igtv.dicom.rtstruct_reader import read_contours
from igtv.dicom.seg_reader import read_segmentation

from .conftest import wait_until

PREFIX = "1.3.6.1.4.1.14519.5.2.1.5168.1900."
STUDY = PREFIX + "190311276211389538203367070477"
CT, PET = PREFIX + "672471348177659964935135533244", PREFIX + "475429996794833172294137667411"
INFO = {"label_info": [{"name": "igtv", "idx": 1}]}
NO_TUMOUR_SAID = "return document.querySelector('#igtv-said').innerText.includes('version 3: no tumour')"
BOX = ([2, 3, 4], [6, 5, 4])  # first and last voxel (i, j, k) that the annotator adds in the browser: 15 voxels


@pytest.fixture(scope="module")
def pacs(start_orthanc, shared_dir):
    return start_orthanc(shared_dir / "data" / "dicom" / "STS_002")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def server(server_process, pacs, data, tools_dir):
    from ohif_walk import make_account

    make_account(data / "accounts")
    options = ("--data_dir", data / "store", "--accounts", data / "accounts", "--device", "cpu")
    server = server_process(pacs.address, *options, name="pacs").start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def client(server, tmp_path_factory):
    from ohif_walk import PASSWORD, USER

    client = server.client(tmp_path_factory.mktemp("client"))
    client.update_auth(client.auth_token(USER, PASSWORD))
    return client


@pytest.fixture(scope="module")
def proposal(client) -> sitk.Image:
    """The model's mask of the next case, as the client gets it."""
    assert client.datastore()["objects"][CT]["labels"] == {}
    assert client.next_sample("first", {})["id"] == CT
    path, _ = client.infer("igtv", CT, {"result_extension": ".nrrd", "result_dtype": "uint8"})
    return sitk.ReadImage(path)


@pytest.fixture(scope="module")
def first_label(client, proposal, tmp_path_factory) -> np.ndarray:
    """A corrected mask, submitted."""
    corrected = sitk.Image(proposal)
    corrected[:, :, 30:] = 0
    corrected[80:90, 70:80, 10:20] = 1
    path = tmp_path_factory.mktemp("label") / "label.nrrd"
    sitk.WriteImage(corrected, str(path), True)
    client.save_label(CT, str(path), "final", INFO)
    return sitk.GetArrayFromImage(corrected)


def test_answers_are_on_the_grid_of_the_series_asked_for(client, proposal):
    assert proposal.GetSize() == (161, 143, 48)
    path, _ = client.infer("igtv", PET, {"result_extension": ".nrrd", "result_dtype": "uint8"})
    assert sitk.ReadImage(path).GetSize() == (30, 27, 48)


def test_label_is_in_the_pacs_at_full_size(client, pacs, first_label, tmp_path):
    assert "final" in client.datastore()["objects"][CT]["labels"] and client.next_sample("first", {}) == {}
    # on a slow computer the annotator is answered before the PACS has it
    wait_until(lambda: len(pacs.modalities()) == 6, 120, "the label in the PACS")
    assert pacs.modalities() == ["CT", "PT", "RTSTRUCT", "RTSTRUCT", "RTSTRUCT", "SEG"]
    info = requests.get(
        f"{client._server_url}/datastore/label/info?label={CT}&tag=final", headers=client._headers, timeout=60
    ).json()
    assert info["user"] == "anna" and info["version"] == 1 and 0 < info["edit_dice"] < 1
    grid = sitk.ReadImage(client.download_label(CT, "final"))
    assert np.array_equal(sitk.GetArrayFromImage(grid), first_label)
    for series in requests.get(f"{pacs.root}/series?expand", timeout=30).json():
        if series["MainDicomTags"].get("SeriesNumber") != "7001":
            continue
        content = requests.get(f"{pacs.root}/instances/{series['Instances'][0]}/file", timeout=60).content
        path = tmp_path / "object.dcm"
        path.write_bytes(content)
        read = read_segmentation if series["MainDicomTags"]["Modality"] == "SEG" else read_contours
        assert np.array_equal(sitk.GetArrayFromImage(read(path, grid)["IGTV"]), first_label)


def test_annotator_corrects_and_submits_in_ohif(server, client, data, proposal, first_label, require_programs):
    from browser import Browser, missing_programs
    from ohif_walk import walk

    require_programs(missing_programs())
    with Browser() as browser:
        seen = walk(browser, server.url, STUDY, box=BOX)
        for _ in range(2):  # the panel asks back
            browser.click("#igtv-none")
        browser.wait(NO_TUMOUR_SAID, 120, "the answer to 'No tumour'")
    assert seen.login_asked and "STS_002" in seen.studies
    expected = sitk.GetArrayFromImage(proposal)
    assert seen.proposed == int(expected.sum())
    expected[BOX[0][2] : BOX[1][2] + 1, BOX[0][1] : BOX[1][1] + 1, BOX[0][0] : BOX[1][0] + 1] = 1
    assert seen.submitted == int(expected.sum()) > seen.proposed
    assert "Stored as version 2" in seen.said
    (second,) = (data / "store" / "labels" / "history" / CT).glob("0002_*_anna.nii.gz")
    stored = sitk.ReadImage(str(second))
    assert np.array_equal(sitk.GetArrayFromImage(stored), expected)
    entry = client.datastore()["objects"][CT]["labels"]["final"]["info"]
    assert entry["no_tumour"] and entry["user"] == "anna" and entry["client"].startswith("OHIF")
    store = data / "store"
    assert not list(store.rglob(".writing-*")) and not list((store / "temporary").iterdir())
    assert not [path for path in store.iterdir() if path.name.startswith("tmp")]
