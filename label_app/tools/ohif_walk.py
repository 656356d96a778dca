"""A walk through OHIF as an annotator takes it: log in, open a study, run the model, correct, submit.

As a program it starts a PACS, fills it, starts the server, walks, and writes the pictures of `label_app/docs/OHIF.md`:

    python label_app/tools/ohif_walk.py --dicom ../shared/data/dicom/STS_002 --output label_app/docs/pictures
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import requests
from browser import Browser, wait_for
from orthanc import Orthanc

SECONDS = 180.0
USER, PASSWORD = "anna", "only for this walk"
ROOT = Path(__file__).resolve().parents[2]

VIEWER_READY = """
const volumes = window.cornerstone?.cache?._volumeCache;
return Boolean(window.services && volumes && volumes.size && document.querySelector('.monaiLabelPanel button'));
"""
LABELMAP_READY = """
const state = window.cornerstoneTools?.segmentation?.state;
return Boolean(state?.getSegmentation('1') && window.services.segmentationService.getLabelmapVolume('1'));
"""
CONNECT = "document.querySelector('.monaiLabelPanel button').click()"
RUN = "[...document.querySelectorAll('.monaiLabelPanel button')].find(one => one.innerText.trim() === 'Run').click()"
HIDE_BANNER = "document.querySelector('[data-cy=confirm-and-hide-button]')?.click()"
# number of voxels of the segment chosen in the submit panel
VOXELS = """
const chosen = Number(document.querySelector('#igtv-segment').value);
const drawn = window.services.segmentationService.getLabelmapVolume('1').voxelManager.getCompleteScalarDataArray();
return drawn.reduce((sum, value) => sum + (value === chosen ? 1 : 0), 0);
"""
# sets one box of voxels, as a brush does: arguments from (i, j, k), to (i, j, k) inclusive
DRAW = """
const [from, to] = arguments;
const chosen = Number(document.querySelector('#igtv-segment').value);
const volume = window.services.segmentationService.getLabelmapVolume('1');
for (let k = from[2]; k <= to[2]; k++)
  for (let j = from[1]; j <= to[1]; j++)
    for (let i = from[0]; i <= to[0]; i++)
      volume.voxelManager.setAtIJK(i, j, k, chosen);
const tools = window.cornerstoneTools;
window.cornerstone.triggerEvent(
  window.cornerstone.eventTarget, tools.Enums.Events.SEGMENTATION_DATA_MODIFIED, { segmentationId: '1' });
"""
SAID = "const said = document.querySelector('#igtv-said'); return said.className ? said.innerText : ''"


@dataclass(frozen=True)
class Walk:
    """What was seen.

    Attributes:
        login_asked: the server sent a browser without login to its login page.
        studies: text of the study list.
        proposed: voxels of the model's mask in the viewer.
        submitted: voxels when it was submitted.
        said: answer of the submit panel.
    """

    login_asked: bool
    studies: str
    proposed: int
    submitted: int
    said: str


def walk(
    browser: Browser,
    server: str,
    study_uid: str,
    pictures: Path | None = None,
    box: tuple[list[int], list[int]] = ([0, 0, 0], [1, 1, 1]),
) -> Walk:
    """Walk through OHIF.

    Args:
        browser: open window.
        server: address of the server, without a slash at its end.
        study_uid: of the study to open.
        pictures: folder for pictures of every step.
        box: voxels (first and last index) that the annotator adds to the model's mask.
    """

    def picture(name: str) -> None:
        if pictures is not None:
            pictures.mkdir(parents=True, exist_ok=True)
            browser.picture(pictures / f"{name}.png")

    browser.open(f"{server}/ohif/")
    login_asked = log_in(browser, lambda: picture("1_login"))
    listed = "const text = document.body.innerText; return text.includes('MRN') && text.includes('CT') ? text : ''"
    studies = browser.wait(listed, SECONDS, "the list of studies")
    browser.run(HIDE_BANNER)
    picture("2_studies")
    browser.open(f"{server}/ohif/monai-label?StudyInstanceUIDs={study_uid}")
    browser.wait(VIEWER_READY, SECONDS, "the study in the viewer")
    browser.run(HIDE_BANNER)
    browser.run(CONNECT)
    browser.wait(LABELMAP_READY, SECONDS, "the connection of the MONAI Label panel")
    browser.wait("return document.querySelector('#igtv-segment')?.options.length > 0", SECONDS, "the submit panel")
    browser.run(RUN)
    proposed = browser.wait(VOXELS, SECONDS, "the model's mask")
    # the notification covers the panel for some seconds
    wait_for(lambda: not browser.run("return document.body.innerText.includes('Successful')"), 30, "its notification")
    picture("3_proposal")
    browser.run(DRAW, *box)
    submitted = browser.run(VOXELS)
    browser.click("#igtv-send")
    said = browser.wait(SAID, SECONDS, "the answer to the submission")
    picture("4_submitted")
    return Walk(login_asked, studies, proposed, submitted, said)


def log_in(browser: Browser, before_sending: Callable[[], None] = lambda: None) -> bool:
    """Fill in the login page where the server shows it; whether it did."""
    if "/login" not in browser.address:
        return False
    browser.type("#username", USER)
    browser.type("#password", PASSWORD)
    before_sending()
    browser.click("form button")
    return True


def make_account(path: Path) -> None:
    """File of accounts with the one of this walk."""
    command = [sys.executable, "-m", "label_app", "account", USER, "--file", str(path)]
    subprocess.run(command, cwd=ROOT, input=f"{PASSWORD}\n", text=True, check=True, timeout=300)


def main() -> None:
    """Make the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--dicom", type=Path, required=True, help="folder with CT and PET of one patient")
    parser.add_argument("--output", type=Path, required=True, help="folder for the pictures")
    parser.add_argument("--port", type=int, default=8000, help="of the server while the pictures are made")
    chosen = parser.parse_args()
    with Orthanc() as pacs, tempfile.TemporaryDirectory() as folder, Browser() as browser:
        pacs.fill(chosen.dicom)
        study = requests.get(f"{pacs.address}/studies", timeout=30).json()[0]["0020000D"]["Value"][0]
        accounts = Path(folder) / "accounts"
        make_account(accounts)
        command = [sys.executable, "-m", "label_app"]
        options = ["--studies", pacs.address, "--data_dir", f"{folder}/data", "--accounts", str(accounts)]
        address = f"http://127.0.0.1:{chosen.port}"
        server = subprocess.Popen([*command, *options, "--port", str(chosen.port)], cwd=ROOT)
        try:
            wait_for(lambda: _answers(address), SECONDS, "the server")
            print(walk(browser, address, study, chosen.output))
        finally:
            server.terminate()
            server.wait(60)


def _answers(address: str) -> bool:
    try:
        return requests.get(f"{address}/auth/", timeout=5).status_code in (200, 403)
    except requests.RequestException:
        return False


if __name__ == "__main__":
    main()
