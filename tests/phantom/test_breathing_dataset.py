"""Whole data sets: lists and folds by patient, licence carried over, bad cases, the verb, and real patients."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest
from igtv.data.checks import check_cases
from igtv.data.datalist import read_datalist, split_cases
from igtv.phantom import breathing_dataset as dataset_module
from igtv.phantom.breathing_dataset import BreathingSettings, deal, simulate_breathing
from monai.bundle import ConfigWorkflow
from scipy import ndimage

QUIET = {"num_workers": 0, "progress": False}


@pytest.fixture(scope="module")
def source(make_source, tmp_path_factory):
    """Two patients to train with, the first with two scans, and one to validate."""
    folder = make_source(tmp_path_factory.mktemp("source"), ["P1", "P2"], validation=["P3"])
    content = json.loads((folder / "dataset.json").read_text())
    content["training"][1]["patient_id"] = "P1"
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module")
def made(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("breathing") / "data"
    simulate_breathing(source, folder, cycles_per_case=2, seed=5, **QUIET)
    return folder


def read(folder):
    return json.loads((folder / "dataset.json").read_text())


def test_datalist_keeps_patients_lists_and_licence(made):
    content = read(made)
    assert content["licence"] == "CC0" and content["source"]["name"] == "Balls" and content["task"] == "igtv"
    assert [item["patient_id"] for item in content["training"]] == ["P1"] * 4
    assert [item["patient_id"] for item in content["validation"]] == ["P3"] * 2
    assert content["left_out"] == {} and not any("fold" in item for item in content["training"])
    datalist = read_datalist(made / "dataset.json")
    assert [item.case for item in datalist.validation] == ["P3_1", "P3_2"]
    check_cases(split_cases(datalist, 0, "training"), progress=False)
    names = {item["ct"].split("/")[0] for item in content["training"]}
    assert names == {"P1_1_cycle1", "P1_1_cycle2", "P1_2_cycle1", "P1_2_cycle2"}
    for item in content["training"]:
        ct, gtv, label = (nib.load(made / item[key]) for key in ("ct", "gtv", "label"))
        assert ct.shape == gtv.shape == label.shape and nib.aff2axcodes(ct.affine) == ("R", "A", "S")
        assert 0 < gtv.get_fdata().sum() < label.get_fdata().sum()
    facts = json.loads((made / "P1_1_cycle2" / "case.json").read_text())
    assert facts["seed"] == 5 and facts["cycle"] == 2 and facts["source_patient"] == "P1"
    assert set(facts["motion_mm"]) == {"si", "ap", "lr"} and len(facts["phase_displacement_mm"]) == 10
    assert (made / "overview.png").stat().st_size > 10_000


def test_any_number_of_workers_and_cycles_gives_the_same(source, made, tmp_path):
    simulate_breathing(source, tmp_path, cycles_per_case=1, seed=5, num_workers=2, progress=False)
    for name in ("ct.nii.gz", "pet.nii.gz", "label.nii.gz", "gtv.nii.gz", "phases.nii.gz", "case.json"):
        assert (tmp_path / "P3_cycle1" / name).read_bytes() == (made / "P3_cycle1" / name).read_bytes()


def test_again_does_nothing_other_settings_are_named(source, made, caplog):
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*")}
    with caplog.at_level("INFO"):
        simulate_breathing(source, made, cycles_per_case=2, seed=5, **QUIET)
    assert "nothing to do" in caplog.text
    assert before == {path: path.stat().st_mtime_ns for path in made.rglob("*")}
    with pytest.raises(FileExistsError, match="seed: there 5, asked 6.*overwrite"):
        simulate_breathing(source, made, cycles_per_case=2, seed=6, **QUIET)


def test_folds_are_dealt_by_patient(make_source, tmp_path, source):
    """Two cases of each of six patients in two folds; lists that are there stay unless folds are asked for."""
    folder = make_source(tmp_path / "six", ["A", "B", "C", "D", "E", "F"], cases=2)
    several = read_datalist(folder / "dataset.json")
    for num_folds, count in ((2, 2), (None, 5)):
        places = deal(several, num_folds, 1)
        folds = {}
        for item in several.training:
            folds.setdefault(item.patient, set()).add(places[item.case])
        assert all(len(fold) == 1 for fold in folds.values())
        assert {fold for place in folds.values() for _, fold in place} == set(range(count))
    assert deal(several, 2, 1) == deal(several, 2, 1) != deal(several, 2, 2)
    lists = read_datalist(source / "dataset.json")
    assert set(deal(lists, None, 0).values()) == {("training", None), ("validation", None)}
    assert {part for part, _ in deal(lists, 2, 0).values()} == {"training"}
    with pytest.raises(ValueError, match="num_folds is 3, but .* 2 patient"):
        deal(lists, 3, 0)


def test_bad_cases_are_named_or_left_out(make_source, tmp_path, caplog):
    source = make_source(tmp_path / "source", ["P1", "P2", "P3"])
    content = read(source)
    del content["training"][1]["label"]
    (source / "dataset.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"1 of 3 cases:\n  P2_cycle1: it has no `label`.*\n.*skip_bad_cases"):
        simulate_breathing(source, tmp_path / "out", **QUIET)
    assert not (tmp_path / "out" / "dataset.json").exists()
    simulate_breathing(source, tmp_path / "out", skip_bad_cases=True, **QUIET)
    assert "case left out: P2_cycle1" in caplog.text
    made = read(tmp_path / "out")
    assert [item["patient_id"] for item in made["training"]] == ["P1", "P3"] and "P2_cycle1" in made["left_out"]
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("P*/*")}
    simulate_breathing(source, tmp_path / "out", skip_bad_cases=True, **QUIET)
    assert caplog.text.count("case left out: P2_cycle1") == 2, "what was left out is looked at again"
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("P*/*")}
    lost = tmp_path / "out" / "P3_cycle1"
    before = (lost / "ct.nii.gz").read_bytes()
    shutil.rmtree(lost)
    with caplog.at_level("INFO"):
        simulate_breathing(source, tmp_path / "out", skip_bad_cases=True, **QUIET)
    assert (lost / "ct.nii.gz").read_bytes() == before
    assert read(tmp_path / "out") == made and "Made 1 breathing cases" in caplog.text


def test_only_gtv_contours_with_a_tumour_can_move(make_source, tmp_path, caplog):
    """An IGTV is a union already, and what is empty has no place to move from."""
    source = make_source(tmp_path / "source", ["P1", "P2", "P3"])
    content = read(source)
    content["training"][0]["label_kind"] = "igtv"
    content["training"][1]["no_tumour"] = True
    label = source / content["training"][1]["label"]
    image = nib.load(label)
    nib.save(nib.Nifti1Image(np.zeros(image.shape, np.uint8), image.affine), label)
    (source / "dataset.json").write_text(json.dumps(content))
    simulate_breathing(source, tmp_path / "out", skip_bad_cases=True, **QUIET)
    assert [item["patient_id"] for item in read(tmp_path / "out")["training"]] == ["P3"]
    assert "P1_cycle1: its contour is an IGTV already" in caplog.text
    assert "P2_cycle1" in caplog.text and "there is no tumour that could move" in caplog.text


def test_a_corrected_source_case_is_made_again_and_the_others_stay(make_source, tmp_path):
    source, out = make_source(tmp_path / "source", ["P1", "P2"]), tmp_path / "out"
    simulate_breathing(source, out, **QUIET)
    before = {name: (out / name / "ct.nii.gz").stat().st_mtime_ns for name in ("P1_cycle1", "P2_cycle1")}
    volume = nib.load(out / "P2_cycle1" / "gtv.nii.gz").get_fdata().sum()
    path = source / "P2_0" / "label.nii.gz"
    label = nib.load(path)
    smaller = ndimage.binary_erosion(label.get_fdata() > 0).astype(np.uint8)
    nib.save(nib.Nifti1Image(smaller, label.affine), path)
    simulate_breathing(source, out, **QUIET)
    assert nib.load(out / "P2_cycle1" / "gtv.nii.gz").get_fdata().sum() < volume
    after = {name: (out / name / "ct.nii.gz").stat().st_mtime_ns for name in before}
    assert [name for name in before if before[name] != after[name]] == ["P2_cycle1"]


def test_arguments_that_cannot_be(source, tmp_path):
    for arguments, message in (
        ({"source_dir": None}, "source_dir is not given"),
        ({"cycles_per_case": 0}, "cycles_per_case is 0"),
        ({"num_folds": 1}, "num_folds is 1"),
        ({"dataset_dir": source}, "holds the source"),
    ):
        with pytest.raises(ValueError, match=message):
            simulate_breathing(**({"source_dir": source, "dataset_dir": tmp_path / "new"} | arguments))
    with pytest.raises(FileNotFoundError, match="does not exist"):
        simulate_breathing(tmp_path, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_config_defaults_are_the_package_defaults(bundle_dir):
    config = json.loads((bundle_dir / "configs" / "simulate_breathing.json").read_text())
    arguments = config["run"][-1]
    assert config["simulating"] == "%run"
    assert all(value == f"@{key}" for key, value in arguments.items() if key != "_target_")
    defaults = BreathingSettings().to_dict()
    assert set(defaults) <= set(arguments)
    assert {k: None if config[k] == "$None" else config[k] for k in defaults} == defaults


@pytest.mark.parametrize("place", ["", "bundle"])
def test_verb_from_root_and_from_bundle(project_dir, source, tmp_path, monkeypatch, place):
    monkeypatch.chdir(project_dir / place)
    config = "configs/simulate_breathing.json" if place else "bundle/configs/simulate_breathing.json"
    changes = {"source_dir": str(source), "dataset_dir": str(tmp_path / "data"), "num_workers": 0}
    workflow = ConfigWorkflow(config, workflow_type="train", run_id="simulating", logging_file=False, **changes)
    workflow.run()
    assert len(read(tmp_path / "data")["training"]) == 2


def test_a_real_patient(shared_dir, tmp_path):
    """Volumes and amplitude of a sarcoma patient, GTV 17 ml, with a motion of 10 mm."""
    folder = shared_dir / "data" / "petct_gtv"
    content = json.loads((folder / "dataset.json").read_text())
    content["training"] = [item for item in content["training"] if item["ct"].startswith("STS_019/")]
    del content["validation"]
    (tmp_path / "one.json").write_text(json.dumps(content))
    settings = {"amplitude_median_mm": 10.0, "amplitude_spread": 0.0, **QUIET}
    path = simulate_breathing(folder, tmp_path / "out", source_datalist=tmp_path / "one.json", **settings)
    made = read(path.parent)
    assert "fold" not in made["training"][0] and made["licence"] == "CC BY 3.0"
    (item,) = read_datalist(path).training
    facts = json.loads((path.parent / "STS_019_cycle1" / "case.json").read_text())
    source = nib.load(folder / "STS_019" / "gtv.nii.gz")
    before_ml = float(np.asarray(source.dataobj).sum() * np.prod(source.header.get_zooms()) / 1000.0)
    assert facts["source_volume_ml"] == pytest.approx(before_ml)
    assert facts["phase_volume_ml"] == pytest.approx([before_ml] * 10, rel=0.04)
    # a body moved by 1 cm grows by about its cross-section in cm^2, and likewise for the way forward
    gtv = np.asarray(source.dataobj)
    down_ml = gtv.any(axis=2).sum() * 0.2 * 0.2 * facts["motion_mm"]["si"] / 10.0
    forward_ml = gtv.any(axis=1).sum() * 0.2 * 0.327 * facts["motion_mm"]["ap"] / 10.0
    assert before_ml + 0.7 * down_ml < facts["label_volume_ml"] < before_ml + 1.1 * (down_ml + forward_ml)
    assert facts["motion_mm"]["si"] == pytest.approx(10.0) and facts["jacobian_range"][0] > 0.4
    assert check_cases([item.as_case()], progress=False)[1] == []
    original, breathing = (nib.load(p).get_fdata() for p in (folder / "STS_019" / "pet.nii.gz", item.pet))
    # the mean over the breathing lowers the maximum and keeps the total
    assert 0.5 * original.max() < breathing.max() < original.max()
    assert breathing.sum() == pytest.approx(original.sum(), rel=0.05)


def test_interrupted_run_is_finished(source, made, tmp_path, monkeypatch):
    save = dataset_module.save_case

    def stop_at_the_second(folder, case):
        if case.case_id == "P1_2_cycle1":
            raise KeyboardInterrupt
        save(folder, case)

    monkeypatch.setattr(dataset_module, "save_case", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        simulate_breathing(source, tmp_path, cycles_per_case=2, seed=5, **QUIET)
    assert not (tmp_path / "dataset.json").exists() and (tmp_path / "P1_1_cycle2" / "case.json").exists()
    monkeypatch.undo()
    simulate_breathing(source, tmp_path, cycles_per_case=2, seed=5, **QUIET)
    assert read(tmp_path) == read(made)
