"""Every command of the README runs, with settings reduced to seconds."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import fire
import monai.bundle
import pydicom
import pytest
import requests
import SimpleITK as sitk
from igtv.dicom import read_contours

README = Path(__file__).resolve().parents[1] / "README.md"
SMALL_NETWORK_RUN = [
    "--epochs=1",
    "--samples_per_epoch=2",
    "--batch_size=1",
    "--num_slices=3",
    "--patch_size=[64,64]",
    "--val_interval=1",
    "--spacing_mm=[6.0,6.0,6.0]",
    "--num_workers=0",
]
# the 3-D CNNs halve the slices too
CNN_RUN = [*SMALL_NETWORK_RUN, "--num_slices=8"]
# hardly trained: a bias towards tumour sees to it that there is a mask to export
CLINIC_RUN = [*SMALL_NETWORK_RUN, "--network_def#foreground_prior=0.7"]
SMALL_SIMULATION = [
    "--num_cases=4",
    "--num_folds=2",
    "--image_size=[56,56,20]",
    "--spacing_mm=[6.0,6.0,6.0]",
    "--num_workers=0",
]
# tests/study runs all stages
SMALL_STUDY = [
    "--stages=['data','calibration']",
    "--own_process=False",
    "--pretraining_cases=2",
    "--pretraining_validation_cases=1",
    "--validation_cases=1",
    "--testing_cases=1",
    "--calibration_testing_cases=1",
    "--sizes=[1,2]",
    "--breathing_sizes=[1,2]",
    "--main_size=2",
    "--pretraining_steps=4",
    "--finetuning_steps=4",
    "--scratch_steps=4",
    "--phantom_settings={'image_size':[56,42,24],'spacing_mm':[6.0,6.0,5.0],'pet_spacing_mm':[6.0,6.0,5.0]}",
    "--recipe#spacing_mm=[6.0,6.0,5.0]",
    "--recipe#num_slices=3",
    "--recipe#epochs=2",
    "--recipe#val_interval=2",
    "--recipe#batch_size=1",
]


def commands() -> list[str]:
    """Lines of the README's bash blocks, the quick start's two excepted: those the fresh-clone check runs whole."""
    blocks = re.findall(r"^```bash\n(.*?)^```", README.read_text(), flags=re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def reduced(command: str) -> list[str]:
    """Arguments after `run`, with the reductions of its verb."""
    arguments = shlex.split(command)
    arguments = arguments[arguments.index("run") + 1 :]
    verb = arguments[0]
    if verb == "simulating" and "simulate_breathing" in command:
        return [*arguments, "--num_workers=0"]
    if verb == "simulating":
        return [*arguments, *SMALL_SIMULATION]
    if "output/clinic_model" in command and verb == "training":
        return [*arguments, *CLINIC_RUN]
    if verb in ("importing", "deidentifying"):
        return [*arguments, "--num_workers=0"]
    if verb in ("training", "finetuning"):
        if "--cross_validation" in command:
            arguments[arguments.index("--num_folds") + 1] = "2"
        return [*arguments, *(CNN_RUN if "segresnet" in command or "dynunet" in command else SMALL_NETWORK_RUN)]
    if verb in ("retraining", "campaigning"):
        keys = (argument.removeprefix("--").split("=") for argument in SMALL_NETWORK_RUN)
        settings = ",".join(f"'{key}':{value}" for key, value in keys)
        campaign = ["--rounds=1", "--cases_per_round=1", "--strategies=['uncertainty']"]
        return [*arguments, f"--settings={{{settings}}}", *(campaign if verb == "campaigning" else [])]
    if verb == "studying":
        return [*arguments, *SMALL_STUDY]
    if verb == "evaluating":
        return [*arguments, "--num_workers=0"]
    return arguments


def test_quickstart_blocks_are_the_two_that_the_fresh_clone_check_expects():
    blocks = re.findall(r"^```bash quickstart\n(.*?)^```", README.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    assert "run training --config_file bundle/configs/train.json" in blocks[0]
    assert "-m pytest" in blocks[1]
    assert all(".venv" in block and "requirements.txt" in block for block in blocks)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory, bundle_dir, shared_dir):
    """A folder that looks like the repository's root to the commands, so that results land outside of it."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "bundle").symlink_to(bundle_dir)
    (folder / "label_app").symlink_to(bundle_dir.parent / "label_app")
    # two real PET/CTs with RTSTRUCTs
    shutil.copytree(shared_dir / "data" / "dicom", folder / "dicom_export", copy_function=shutil.copyfile)
    for path in (folder / "dicom_export").rglob("mask/*"):
        call_contours_igtv(path)
    return folder


def call_contours_igtv(path: Path) -> None:
    """The patients have GTV contours; the README's reader is one who imports IGTV contours, and trains on them."""
    dataset = pydicom.dcmread(path)
    for roi in dataset.StructureSetROISequence:
        roi.ROIName = roi.ROIName.replace("GTV", "IGTV")
    dataset.save_as(path)


@pytest.fixture
def server(project_dir, monkeypatch):
    """`server(line)` starts the server as the README says, at a port of its own, and waits until it answers."""
    monkeypatch.syspath_prepend(str(project_dir / "label_app" / "tools"))
    from ports import free_port

    started = []

    def start(line: str) -> None:
        port = free_port()
        command = [sys.executable, *shlex.split(line)[1:], "--port", str(port), "--conf", "warm_up", "false"]
        with open("server.log", "wb") as log:
            started.append(subprocess.Popen(command, stdout=log, stderr=log))
        _wait_for_server(started[0], f"http://127.0.0.1:{port}/auth/")

    yield start
    for process in started:
        process.terminate()
        process.wait(60)


def _wait_for_server(process: subprocess.Popen, address: str) -> None:
    for _ in range(600):
        assert process.poll() is None, Path("server.log").read_text()[-3000:]
        try:
            if requests.get(address, timeout=2).status_code == 200:
                return
        except requests.RequestException:
            time.sleep(0.5)
    pytest.fail(f"no answer of the server: {Path('server.log').read_text()[-3000:]}")


def test_every_command_runs(workplace, monkeypatch, capfd, server):
    """One test, since each command uses what an earlier one left."""
    monkeypatch.chdir(workplace)
    monkeypatch.setattr(sys, "argv", ["monai.bundle"])
    lines = commands()
    assert len(lines) >= 14
    for line in lines:
        if line.startswith("python -m monai.bundle run"):
            fire.Fire({"run": monai.bundle.run}, command=["run", *reduced(line)])
        elif line.startswith("PYTHONPATH=bundle python -m monai.bundle ckpt_export"):
            arguments = shlex.split(line)[4:]
            fire.Fire({"ckpt_export": monai.bundle.ckpt_export}, command=arguments)
        elif line.startswith("torchrun"):
            _run_torchrun(line)
        elif line.startswith("python -m label_app --"):
            server(line)
        elif line.startswith("python -m label_app"):
            _run_label_app(line)
        else:
            pytest.fail(f"the test does not know how to run the README's line: {line}")
    for result in (
        "gtv_model/model.pt",
        "igtv_model/model.json",
        "after/compare.json",
        "pooled/report.html",
        "masks/igtv_00000/pred.nii.gz",
        "one/igtv_00000/uncertainty.nii.gz",
        "models/igtv/versions/v0002/decision.json",
        "campaign/campaign.png",
        "model.ts",
        "two/model.pt",
        "clinic/dataset.json",
        "clinic/STS_042/label.nii.gz",
        "clinic_model/model.pt",
        "contours/rtstruct.dcm",
        "secret/key.json",
    ):
        assert (workplace / "output" / result).is_file(), result
    _check_structure_sets(workplace / "output")


def _check_structure_sets(output: Path) -> None:
    """The way back: the RTSTRUCT holds the mask that was predicted on the patient's CT."""
    written = sorted(output.glob("clinic_masks/*/rtstruct.dcm"))
    assert written, "no mask of the two patients became an RTSTRUCT"
    for path in written:
        mask = sitk.ReadImage(path.parent / "pred.nii.gz")
        (contours,) = read_contours(path, mask).values()
        predicted, read_back = (sitk.GetArrayFromImage(image) > 0 for image in (mask, contours))
        overlap = 2 * (predicted & read_back).sum() / (predicted.sum() + read_back.sum())
        assert overlap >= 0.98, f"{path.parent.name}: Dice {overlap:.3f}"


def _run_torchrun(line: str) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", *shlex.split(line)[1:], *SMALL_NETWORK_RUN]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def _run_label_app(line: str) -> None:
    """A verb as it stands, beside the server."""
    done = subprocess.run([sys.executable, *shlex.split(line)[1:]], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
