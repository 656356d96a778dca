"""One cycle from labels to a decision; the gate on real weights; rollback to the exact old masks; kills."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from igtv.inference.case_segmenter import CaseSegmenter
from igtv.learning import cycle, work
from igtv.learning.bound_process import start_bound, stop_bound
from igtv.learning.current_pointer import CurrentPointer
from igtv.learning.cycle import CycleFailed, CycleStopped, cycle_folder, is_under_way
from igtv.learning.gate import GateRule
from igtv.learning.progress import ProgressFile, read_progress
from igtv.learning.replay import choose_cases
from igtv.learning.retrain import NothingNew, run_cycle
from igtv.learning.session import retrain
from igtv.learning.work import do_work
from igtv.networks.model_card import model_card_path

# a gate that lets everything pass
ANYTHING = GateRule(margin=1.0, max_case_drop=1.0)


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a registry but its lock."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def versions_and_pointer(registry):
    files = content(registry.folder)
    return {name: data for name, data in files.items() if name.startswith(("versions", "current"))}


@pytest.fixture(scope="module")
def mask_of(bundle_dir, cases):
    segmenter = CaseSegmenter(bundle_dir, "cpu")
    return lambda version: segmenter.segment(version.model_path, cases[0]["ct"], cases[0]["pet"]).mask


@pytest.fixture
def training_ends_with(monkeypatch):
    """`training_ends_with(model_path)`: what every training from now on comes to; all else of a cycle is real.

    Returns a list that gets the settings of each of these trainings.
    """
    run_verb = work.run_verb

    def set_result(model_path):
        asked = []

        def run(verb, names, settings):
            if verb != "finetuning":
                return run_verb(verb, names, settings)
            asked.append(settings)
            folder = Path(settings["output_dir"])
            folder.mkdir(parents=True)
            for path in (model_path, model_card_path(model_path)):
                shutil.copyfile(path, folder / path.name)

        monkeypatch.setattr(work, "run_verb", run)
        return asked

    return set_result


def test_better_accepted_damaged_refused_rollback_restores_the_masks(
    registry, cases, frozen, tiny_settings, training_ends_with, good_model, damaged_model, mask_of, tmp_path
):
    settings = tiny_settings(only_with_new=False)
    first = mask_of(registry.current())
    training_ends_with(good_model)
    better = run_cycle(registry, cases, frozen, tmp_path / "work", settings)
    assert better.status == "accepted" and registry.current().number == 2
    assert better.decision["dice"]["difference"] > 0.05
    good = mask_of(better)
    before = versions_and_pointer(registry)

    training_ends_with(damaged_model)
    worse = run_cycle(registry, cases, frozen, tmp_path / "work", settings)
    assert worse.status == "refused" and registry.current().number == 2
    assert "lower than" in worse.decision["reasons"][0]
    after = versions_and_pointer(registry)
    assert {name: after[name] for name in before} == before  # nothing of the old versions changed
    report = json.loads((worse.report_dir / "gate.json").read_text())
    assert not report["accepted"] and {row["case"] for row in report["cases"]} == {"igtv_00000", "igtv_00001"}
    assert "<html" in (worse.report_dir / "report.html").read_text().lower()
    compared = json.loads((worse.report_dir / "compare.json").read_text())
    assert compared["metrics"]["dice"]["mean_difference"] == pytest.approx(report["dice"]["difference"])

    assert registry.rollback().number == 1
    assert np.array_equal(mask_of(registry.current()), first)
    registry.rollback(2)
    assert np.array_equal(mask_of(registry.current()), good)
    assert not np.array_equal(first, good)
    assert not list(tmp_path.rglob("*.nii.gz"))  # masks of the frozen patients are not kept


def test_a_cycle_learns_only_what_it_may_and_says_so(registry, cases, frozen, tiny_settings, tmp_path):
    told = []
    progress = ProgressFile(tmp_path / "progress.json", told.append)
    settings = tiny_settings(rule=ANYTHING)
    version = run_cycle(registry, cases, frozen, tmp_path / "work", settings, progress=progress, user="anna")
    assert version.status == "accepted" and version.manifest["parent"] == 1
    assert [entry["case"] for entry in version.data] == [case["case"] for case in cases[2:]]
    assert set(version.manifest["left_out"]) == {case["case"] for case in cases[:2]}
    assert version.card["name"] == "IGTV model, fine-tuned on 3 labelled patients"
    assert version.card["task"] == "igtv" and "before that" in version.card["trained_on"]
    kept = {path.name for path in version.report_dir.iterdir()}
    assert kept >= {"gate.json", "report.html", "metrics.csv", "training_log.csv", "run_manifest.json"}
    assert json.loads((version.report_dir / "run_manifest.json").read_text())["cases"]["training"] == [
        case["case"] for case in cases[2:]
    ]
    assert version.decision["user"] == "anna"
    end = read_progress(tmp_path / "progress.json")
    assert end["state"] == "done" and end["accepted"] is True
    assert [entry["phase"] for entry in told if "phase" in entry] == [
        "collecting",
        "training",
        "evaluating",
        "deciding",
        "done",
    ]
    assert not list((tmp_path / "work").glob("cycle_*"))
    with pytest.raises(NothingNew, match="no new label"):
        run_cycle(registry, cases, frozen, tmp_path / "work", settings)
    assert len(registry.versions()) == 2


def test_a_cycle_from_the_current_model_counts_all_whose_labels_are_in_its_weights(
    registry, cases, frozen, tiny_settings, training_ends_with, weak_model, tmp_path
):
    """Three cycles of one new patient each, the second and third without replay: their weights go on all the same."""
    asked = training_ends_with(weak_model)

    def learn(number, start_from, **more):
        settings = tiny_settings(**{"start_from": start_from, "replay_cases": 0, "rule": ANYTHING, **more})
        return run_cycle(registry, cases[2 : 2 + number], frozen, tmp_path / "work", settings)

    versions = [registry.current(), learn(1, "pretrained"), learn(2, "current"), learn(3, "current")]
    assert [version.status for version in versions] == ["accepted"] * 4 and registry.current().number == 4
    assert [settings["model_path"] for settings in asked] == [str(versions[n].model_path) for n in (0, 1, 2)]
    for start_from, start, version in zip(("pretrained", "current", "current"), versions, versions[1:], strict=False):
        expected = {"from": start_from, "version": f"igtv v000{start.number}", "sha256": start.sha256}
        assert version.manifest["start"] == expected
    assert [[entry["case"] for entry in version.data] for version in versions[1:]] == [[c["case"]] for c in cases[2:5]]
    assert [version.card["name"] for version in versions[1:]] == [
        "IGTV model, fine-tuned on 1 labelled patient",
        "IGTV model, fine-tuned on 2 labelled patients",
        "IGTV model, fine-tuned on 3 labelled patients",
    ]
    again = learn(3, "pretrained", only_with_new=False, replay_cases=2)
    assert asked[-1]["model_path"] == str(versions[0].model_path)
    assert again.card["name"] == "IGTV model, fine-tuned on 2 labelled patients"


def test_a_retraining_mixes_in_cases_of_the_pretraining(
    simulate_coarsely, phantom_dir, tiny_training, training_ends_with, weak_model, tmp_path
):
    """One of two; it is no patient labelled for this model, and the card does not count it."""
    asked = training_ends_with(weak_model)
    earlier = simulate_coarsely(tmp_path / "earlier", "gtv", cases=2, folds=2)
    version = retrain(
        phantom_dir,
        phantom_dir / "dataset.json",
        tmp_path / "models",
        weak_model,
        pretraining_datalist=earlier / "dataset.json",
        pretraining_cases=1,
        margin=1.0,
        max_case_drop=1.0,
        own_process=False,
        finetuning=dict(tiny_training),
    )
    assert [entry["role"] for entry in version.data] == ["new", "new", "new", "pretraining"]
    mixed_in = version.data[-1]["case"]
    assert mixed_in in ("gtv_00000", "gtv_00001")
    (settings,) = asked
    learned = settings["train#dataset#data"]
    assert [case["case"] for case in learned] == [entry["case"] for entry in version.data]
    assert learned[-1]["label"] == str(earlier / mixed_in / "label.nii.gz")
    assert version.card["name"] == "IGTV model, fine-tuned on 3 labelled patients"


def test_two_cycles_at_once_are_refused(registry, cases, frozen, tiny_settings, tmp_path):
    with cycle_folder(tmp_path / "work"):
        assert is_under_way(tmp_path / "work")
        with pytest.raises(RuntimeError, match="is under way"):
            run_cycle(registry, cases, frozen, tmp_path / "work", tiny_settings())
    assert not is_under_way(tmp_path / "work")


def in_background(function):
    """Run in a thread; the result is a list that gets the error."""
    errors = []

    def run():
        try:
            function()
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, errors


def wait_for(condition, seconds=90.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError("it did not happen in time")


def numbers_in(file: Path) -> list[int]:
    """The numbers of the first line, once it is written to its end."""
    text = file.read_text() if file.is_file() else ""
    return [int(word) for word in text.splitlines()[0].split()] if "\n" in text else []


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_a_killed_or_stopped_training_leaves_the_current_model(how, registry, cases, frozen, tiny_settings, tmp_path):
    before = versions_and_pointer(registry)
    progress_path, stop = tmp_path / "progress.json", threading.Event()
    long = {**tiny_settings().finetuning, "epochs": 1000}
    settings = tiny_settings(own_process=True, finetuning=long)
    thread, errors = in_background(
        lambda: run_cycle(
            registry, cases, frozen, tmp_path / "work", settings, progress=ProgressFile(progress_path), stop=stop
        )
    )
    pid = wait_for(lambda: read_progress(progress_path).get("pid"))
    if how == "stopped":
        stop.set()
    else:
        wait_for(lambda: read_progress(progress_path).get("epoch", 0) >= 1)
        shown = read_progress(progress_path)
        assert shown["epochs"] == 1000 and shown["train_loss"] > 0
        os.killpg(pid, signal.SIGKILL)
    thread.join(60)
    assert isinstance(errors[0], CycleStopped if how == "stopped" else CycleFailed)
    assert "current model is unchanged" in str(errors[0])
    assert read_progress(progress_path)["state"] == ("stopped" if how == "stopped" else "failed")
    assert versions_and_pointer(registry) == before and registry.current().number == 1
    assert not list((tmp_path / "work").glob("cycle_*"))


PARENT = """
import sys, time
sys.path.insert(0, sys.argv[1])
from igtv.learning.bound_process import start_bound
child = start_bound([sys.executable, "-c", "import os, subprocess, sys, time; "
    "inner = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
    "print(os.getpid(), inner.pid, flush=True); time.sleep(600)"], sys.argv[2])
print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_training_ends_with_the_server_however_that_ends(number, bundle_dir, tmp_path):
    told, log = tmp_path / "told", tmp_path / "log"
    command = [sys.executable, "-c", PARENT, str(bundle_dir), str(log)]
    with told.open("wb") as file:
        parent = subprocess.Popen(command, stdout=file)
    (leader,) = wait_for(lambda: numbers_in(told))
    worker, inner = wait_for(lambda: numbers_in(log))
    assert all(map(is_alive, (leader, worker, inner)))
    parent.send_signal(number)
    parent.wait(10)
    wait_for(lambda: not any(map(is_alive, (leader, worker, inner))))


def test_what_is_stopped_ends_at_once_with_all_it_started(tmp_path):
    """Even where it does not listen; and what a command that has ended left behind."""
    for end in ("sleep 600", "exit 3"):
        log = tmp_path / end
        process = start_bound(["sh", "-c", f"trap '' TERM; sleep 600 & echo $!; {end}"], log)
        (inner,) = wait_for(lambda log=log: numbers_in(log))
        if end == "exit 3":
            assert process.wait(30) == 3 and is_alive(inner)
        stop_bound(process)
        wait_for(lambda inner=inner: not is_alive(inner))
        assert process.returncode == (3 if end == "exit 3" else -signal.SIGKILL)


@pytest.mark.parametrize(("script", "code"), [("exit 3", 3), ("kill -9 $$", 137), ("exit 0", 0)])
def test_the_leader_ends_as_its_command_does(script, code, tmp_path):
    """A worker that the kernel killed for memory is told from one that failed."""
    assert start_bound(["sh", "-c", script], tmp_path / "log").wait(30) == code


def test_a_command_that_is_not_there(tmp_path):
    assert start_bound(["no-such-program"], tmp_path / "log").wait(30) == 127
    assert "no-such-program cannot be started" in (tmp_path / "log").read_text()


def test_a_failing_training_says_why(registry, cases, frozen, tiny_settings, tmp_path):
    settings = tiny_settings(finetuning={**tiny_settings().finetuning, "patch_size": [50, 50]})
    with pytest.raises(CycleFailed, match="the training failed"):
        run_cycle(registry, cases, frozen, tmp_path / "work", settings)
    assert [version.number for version in registry.versions()] == [1]


@pytest.fixture
def evaluated(tmp_path):
    """A PatientID that makes a file when it is evaluated, and that file."""
    path = tmp_path / "evaluated"
    return f"$open({str(path)!r}, 'w').close()", path


def test_a_patient_id_is_never_evaluated(evaluated, cases, frozen, tiny_settings, weak_model, tmp_path):
    patient, path = evaluated
    data = [{key: cases[2][key] for key in ("case", "ct", "pet", "label")} | {"patient": patient, "more": patient}]
    settings = {**tiny_settings().finetuning, "epochs": 1, "num_pictures": 0, "use_tensorboard": False}
    settings |= {"model_path": str(weak_model), "output_dir": str(tmp_path / "run"), "train#dataset#data": data}
    settings["validate#dataset#data"] = []
    do_work({"frozen": str(frozen.folder), "finetuning": settings, "evaluations": []})
    assert (tmp_path / "run" / "model.pt").is_file() and not path.exists()


def test_a_case_with_such_an_id_is_left_out_with_the_reason(
    evaluated, registry, cases, frozen, tiny_settings, tmp_path
):
    patient, path = evaluated
    given = [{**cases[2], "patient": patient}, {**cases[3], "case": "%training"}, {**cases[4], "patient": "@network"}]
    with pytest.raises(NothingNew, match=r"starts with \$.*starts with %.*starts with @"):
        run_cycle(registry, given, frozen, tmp_path / "work", tiny_settings())
    assert not path.exists()


def test_a_rollback_during_training_is_not_undone(
    registry, cases, frozen, tiny_settings, weak_model, tmp_path, monkeypatch
):
    """Here another version becomes current while the work is done."""

    def meanwhile(plan, tell):
        registry.accept(registry.add(weak_model), {"reasons": []})
        staging = Path(plan["finetuning"]["output_dir"])
        staging.mkdir()
        shutil.copyfile(weak_model, staging / "model.pt")

    monkeypatch.setattr("igtv.learning.cycle.do_work", meanwhile)
    with pytest.raises(CycleFailed, match="start again"):
        run_cycle(registry, cases, frozen, tmp_path / "work", tiny_settings())
    assert registry.current().number == 2 and len(registry.versions()) == 2


def test_a_rollback_during_the_decision_is_not_undone(
    registry, cases, frozen, tiny_settings, training_ends_with, weak_model, good_model, tmp_path, monkeypatch
):
    """It comes after the first look at the current version, when the weights have been copied in."""
    registry.accept(registry.add(weak_model, {"parent": 1, "data": []}), {"reasons": []})
    training_ends_with(good_model)
    add = registry.add

    def add_then_roll_back(*arguments):
        added = add(*arguments)
        registry.rollback(1)
        return added

    monkeypatch.setattr(registry, "add", add_then_roll_back)
    words = "the current model became igtv v0001 while the candidate was trained against igtv v0002: start again"
    with pytest.raises(CycleFailed, match=words):
        run_cycle(registry, cases, frozen, tmp_path / "work", tiny_settings())
    assert registry.current().number == 1
    assert registry.version(3).status == "candidate"


def test_a_label_that_only_chose_the_epoch_is_not_booked_as_learned(
    registry, cases, frozen, tiny_settings, training_ends_with, good_model, tmp_path, monkeypatch
):
    """Of three patients one is checked, here from three patients on; the next cycle finds its label new."""
    monkeypatch.setattr("igtv.learning.replay.CHECKED_FROM_PATIENTS", 3)
    training_ends_with(good_model)
    version = run_cycle(registry, cases, frozen, tmp_path / "work", tiny_settings())
    (checked,) = version.manifest["checked_on"]
    given = {case["case"] for case in cases[2:]}
    assert {"case", "patient", "role", "label_sha256"} <= set(checked) and checked["case"] in given
    assert {entry["case"] for entry in version.data} == given - {checked["case"]}
    assert version.card["name"] == "IGTV model, fine-tuned on 2 labelled patients"
    assert version.status == "accepted"
    again = choose_cases(cases, frozen, registry.versions(), version)
    assert [case["case"] for case in again.new] == [checked["case"]]


def test_a_cycle_first_finishes_what_a_crash_left(
    registry, cases, frozen, tiny_settings, training_ends_with, good_model, weak_model, tmp_path, monkeypatch
):
    """Version 2 was accepted, but the pointer was never set; the candidate is measured against it, not against 1."""
    version = registry.add(weak_model, {"parent": 1, "data": []})
    with monkeypatch.context() as patched:
        patched.setattr(CurrentPointer, "point_to", lambda *_: None)
        registry.accept(version, {"reasons": []})
    assert registry.current().number == 1
    training_ends_with(good_model)
    learned = run_cycle(registry, cases, frozen, tmp_path / "work", tiny_settings())
    assert learned.manifest["parent"] == 2 and [entry["number"] for entry in registry.history()] == [1, 2, 3]


def test_figures_are_set_where_only_the_evaluation_was_kept(
    registry, cases, frozen, tiny_settings, training_ends_with, weak_model, tmp_path
):
    """A cycle ended between the two."""
    training_ends_with(weak_model)
    settings = tiny_settings(only_with_new=False)
    run_cycle(registry, cases, frozen, tmp_path / "work", settings)
    measured = registry.version(1).metrics
    registry.rollback(1)
    (registry.version(1).path / "metrics.json").unlink()
    assert registry.version(1).metrics == {}
    run_cycle(registry, cases, frozen, tmp_path / "work", settings)
    assert measured["dice"] == registry.version(1).metrics["dice"] and registry.version(1).metrics == measured


def test_the_process_of_a_training_gets_no_passwords(monkeypatch, tmp_path):
    given = {}

    def start(command, log, environment):
        given.update(environment)
        raise OSError("not started")

    monkeypatch.setattr(cycle, "start_bound", start)
    for name in ("IGTV_PASSWORD", "IGTV_ACCOUNTS", "MONAI_LABEL_DICOMWEB_USERNAME", "MONAI_LABEL_DICOMWEB_PASSWORD"):
        monkeypatch.setenv(name, "known to few")
    monkeypatch.setenv("MONAI_LABEL_AUTH_CLIENT_ID", "known to few")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with pytest.raises(OSError, match="not started"):
        cycle.work_in_child({}, tmp_path, ProgressFile(None), None, threading.Event())
    assert "known to few" not in given.values()
    assert given["PATH"] == os.environ["PATH"] and given["OMP_NUM_THREADS"] == "1"
