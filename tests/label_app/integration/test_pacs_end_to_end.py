"""A real CT+PET study in a PACS, the server as a process: MONAI Label's client, then OHIF in a real browser."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
import requests
import SimpleITK as sitk
from igtv.dicom.rtstruct_reader import read_contours
from igtv.dicom.seg_reader import read_segmentation

from ..waiting import wait_for

PREFIX = "1.3.6.1.4.1.14519.5.2.1.5168.1900."
STUDY = PREFIX + "190311276211389538203367070477"
CT, PET = PREFIX + "672471348177659964935135533244", PREFIX + "475429996794833172294137667411"
INFO = {"label_info": [{"name": "igtv", "idx": 1}]}
NO_TUMOUR_SAID = "return document.querySelector('#igtv-said').innerText.includes('version 4: no tumour')"
# what OHIF's own segmentation panel does for "Export DICOM SEG"
EXPORT = "window.commandsManager.run('storeSegmentation', { segmentationId: '1' })"
# a segmentation of one's own on the CT; returns its id
CREATE = """
const viewport = window.services.viewportGridService.getActiveViewportId();
return window.commandsManager.runCommand('createLabelmapForViewport', { viewportId: viewport }).then(id => {
  window.services.segmentationService.setSegmentLabel(id, 1, 'igtv');
  return id;
});
"""
# sets pixels (20 to 29, 30 to 49) of the uppermost image, as a brush does; returns where that image lies
PAINT_UPPERMOST = """
const { cache, metaData } = window.cornerstone;
const map = window.cornerstoneTools.segmentation.state.getSegmentation(arguments[0]).representationData.Labelmap;
const position = id => metaData.get('imagePlaneModule', cache.getImage(id).referencedImageId).imagePositionPatient;
const [uppermost] = [...map.imageIds].sort((one, other) => position(other)[2] - position(one)[2]);
const image = cache.getImage(uppermost);
for (let row = 30; row < 50; row++) image.getPixelData().fill(1, row * image.columns + 20, row * image.columns + 30);
return position(uppermost);
"""
POINT_PROMPTS = """
document.querySelector('input[value=pointprompts]').click();
const tab = [...document.querySelectorAll('.tab')].find(one => one.querySelector('input[value=pointprompts]'));
[...tab.querySelectorAll('tr.clickable-row')].find(row => row.innerText.trim() === 'igtv').click();
"""
RUN_POINT_PROMPTS = "[...document.querySelectorAll('button')].find(one => one.title === 'Run PointPrompts').click()"
MIDDLE_OF_THE_AXIAL_VIEW = """
const box = document.querySelector('.viewport-element').getBoundingClientRect();
return [box.x + box.width / 2, box.y + box.height / 2].map(Math.round);
"""
# voxel (i, j, k) of the click, as OHIF has it
CLICKED = """
const found = window.cornerstoneTools.annotation.state.getAllAnnotations();
const click = found.find(one => one.metadata.toolName === 'ProbeMONAILabel')?.data.handles.points[0];
const volume = window.services.segmentationService.getLabelmapVolume('1');
return click ? volume.imageData.worldToIndex(click).map(Math.round) : null;
"""
# whether a voxel is in the segment igtv
IS_IGTV = """
const value = window.services.segmentationService.getLabelmapVolume('1').voxelManager.getAtIJK(...arguments[0]);
return value === Number(document.querySelector('#igtv-segment').value);
"""
SEGMENTATION_MODE = """
if (document.querySelectorAll('canvas').length < 2 || !window.commandsManager) return false;
try {
  return Boolean(window.services.viewportGridService.getActiveViewportId() && window.cornerstone.cache.getCacheSize());
} catch {
  return false;  // the services are there before what is in them
}
"""
EXPORT_SAID = "return document.querySelector('#igtv-said').innerText.includes('version 3: ')"
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
    wait_for(lambda: len(pacs.modalities()) == 6, 120, "the label in the PACS")
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
        browser.run(EXPORT)
        browser.wait(EXPORT_SAID, 120, "the answer to 'Export DICOM SEG'")
        click_in_the_image(browser)
        for _ in range(2):  # the panel asks back
            browser.click("#igtv-none")
        browser.wait(NO_TUMOUR_SAID, 120, "the answer to 'No tumour'")
    assert seen.login_asked and "STS_002" in seen.studies
    expected = sitk.GetArrayFromImage(proposal)
    assert seen.proposed == int(expected.sum())
    expected[BOX[0][2] : BOX[1][2] + 1, BOX[0][1] : BOX[1][1] + 1, BOX[0][0] : BOX[1][0] + 1] = 1
    assert seen.submitted == int(expected.sum()) > seen.proposed
    assert "Stored as version 2" in seen.said
    for number in ("0002", "0003"):  # the second by OHIF's own export, which would have the slices in reverse order
        (path,) = (data / "store" / "labels" / "history" / CT).glob(f"{number}_*_anna.nii.gz")
        assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))), expected)
    entry = client.datastore()["objects"][CT]["labels"]["final"]["info"]
    assert entry["no_tumour"] and entry["user"] == "anna" and entry["client"].startswith("OHIF")
    store = data / "store"
    # the versions before are still on their way to the PACS, perhaps
    wait_for(lambda: not list((store / "temporary").iterdir()), 120, "the end of the sending to the PACS")
    assert not list(store.rglob(".writing-*"))
    assert not [path for path in store.iterdir() if path.name.startswith("tmp")]


def click_in_the_image(browser) -> None:
    """A point prompt beside the proposal: the voxel under the mouse becomes tumour."""
    browser.run(POINT_PROMPTS)
    x, y = browser.run(MIDDLE_OF_THE_AXIAL_VIEW)
    browser.click_at(x + 40, y - 30)
    voxel = browser.wait(CLICKED, 60, "the click")
    assert not browser.run(IS_IGTV, voxel)
    browser.run(RUN_POINT_PROMPTS)
    browser.wait(IS_IGTV, 120, "the answer to the click", voxel)
    browser.wait("return !document.body.innerText.includes('Successful')", 60, "the end of the notification")


def test_export_in_ohifs_segmentation_mode_keeps_the_place(server, data, first_label, require_programs):
    """Drawn on the uppermost image, it is stored there; OHIF's own SEG would have it at the patient's other end."""
    from browser import Browser, missing_programs
    from ohif_walk import log_in

    require_programs(missing_programs())
    versions = data / "store" / "labels" / "history" / CT
    before = set(versions.iterdir())
    with Browser() as browser:
        browser.open(f"{server.url}/ohif/segmentation?StudyInstanceUIDs={STUDY}")
        log_in(browser)
        browser.wait(SEGMENTATION_MODE, 180, "the study in the mode Segmentation")
        segmentation = browser.run(CREATE)
        position = browser.run(PAINT_UPPERMOST, segmentation)
        browser.run(EXPORT.replace("'1'", "arguments[0]"), segmentation)
        browser.wait("return document.body.innerText.includes('Stored as version')", 120, "OHIF's message")
    (path,) = set(versions.iterdir()) - before
    stored = sitk.ReadImage(str(path))
    painted = np.argwhere(sitk.GetArrayFromImage(stored))  # (k, j, i)
    assert len(painted) == 200 and painted.min(0).tolist()[1:] == [30, 20] and painted.max(0).tolist()[1:] == [49, 29]
    assert len(set(painted[:, 0])) == 1
    corner = stored.TransformIndexToPhysicalPoint((0, 0, int(painted[0, 0])))
    assert np.allclose(corner, position, atol=1e-3)


def test_a_segmentation_is_stored_through_the_server(server, client, data, proposal, tmp_path):
    """As another program sends it (STOW-RS); one that OHIF exported by itself is refused with the reason."""
    versions = data / "store" / "labels" / "history" / CT
    before = set(versions.iterdir())
    address = f"{server.url}/infer/igtv?image={CT}&output=dicom_seg"
    seg = pydicom.dcmread(BytesIO(requests.post(address, headers=client._headers, timeout=120).content))

    def store():
        seg.save_as(tmp_path / "seg.dcm")
        part = b"Content-Type: application/dicom\r\n\r\n" + (tmp_path / "seg.dcm").read_bytes()
        kind = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=xyz'}
        return requests.post(
            f"{server.url}/proxy/dicom/wado/studies",
            data=b"--xyz\r\n" + part + b"\r\n--xyz--",
            headers={**client._headers, **kind},
            timeout=120,
        )

    answer = store()
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/dicom+json"
    assert seg.SOPInstanceUID in answer.text
    (path,) = set(versions.iterdir()) - before
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))), sitk.GetArrayFromImage(proposal))
    seg.file_meta.ImplementationVersionName = "OHIF-VIEWER-2.0.0"
    refused = store()
    assert refused.status_code == 400 and "reverse order" in refused.json()["detail"]
    assert set(versions.iterdir()) - before == {path}
