"""Pre-registration: what is fixed, and that nothing else runs afterwards."""

import json
import shutil

import pytest
from igtv.files import write_json
from igtv.learning.work import CONFIGS_DIR
from igtv.study.plan import plan_from
from igtv.study.registration import (
    NotRegistered,
    differences,
    read_registration,
    refuse_changes,
    register,
    registered_content,
    remember_changes,
    remembered_changes,
    unregistered,
)

DATA = {"A": {"testing": "abc", "pool": "def"}}


def test_the_same_study_goes_on_and_another_is_refused(choices, tmp_path):
    content = registered_content(plan_from(choices()), DATA)
    with pytest.raises(NotRegistered, match="nothing is registered"):
        refuse_changes(read_registration(tmp_path), content)
    first = register(tmp_path, content, {"sha256": "1"})
    assert register(tmp_path, content, {"sha256": "2"}) == first  # once and for all
    refuse_changes(read_registration(tmp_path), registered_content(plan_from(choices()), DATA))

    changed = choices(finetuning_steps=1, scratch_steps=2)
    changed["recipe"] = {**changed["recipe"], "batch_size": 3, "epochs": 1}
    other = registered_content(plan_from(changed), {"A": {"testing": "xyz", "pool": "def"}})
    with pytest.raises(NotRegistered) as refusal:
        refuse_changes(read_registration(tmp_path), other)
    for part in ("plan.finetuning_steps: 2 -> 1", "plan.recipe.batch_size: 1 -> 3", "data.A.testing: 'abc' -> 'xyz'"):
        assert part in str(refusal.value)
    with pytest.raises(NotRegistered):
        register(tmp_path, other, None)


def test_configs_of_the_trainings_are_registered(plan):
    content = registered_content(plan, DATA)
    used = {"train.json", "finetune.json", "inference.json", "simulate_breathing.json", "baselines/segresnet.json"}
    assert set(content["configs"]) == used
    assert {"networks", "phantom", "study", "training"} <= set(content["sources"]) and content["breathing_generator"]


def test_another_data_set_may_be_added_and_left_out(tmp_path, plan):
    """Data A first, A and B later in the same folder, A alone again: all as registered."""
    alone = registered_content(plan, DATA)
    both = registered_content(plan, DATA | {"B/fold0": {"testing": "ghi"}})
    register(tmp_path, alone, None)
    with pytest.raises(NotRegistered, match="data.B/fold0 is not registered"):
        refuse_changes(read_registration(tmp_path), both)
    added = register(tmp_path, both, None)
    assert set(added["data_registered"]) == {"A", "B/fold0"}
    for content in (alone, both):
        refuse_changes(read_registration(tmp_path), content)
    changed = registered_content(plan, DATA | {"B/fold0": {"testing": "xyz"}})
    with pytest.raises(NotRegistered, match="data.B/fold0.testing: 'ghi' -> 'xyz'"):
        register(tmp_path, changed, None)


def test_nothing_is_registered_after_its_results(tmp_path, plan):
    write_json(tmp_path / "A/arms/scratch_x/n10_seed0/result.json", {})
    with pytest.raises(NotRegistered, match="A has results of arms already"):
        register(tmp_path, registered_content(plan, DATA), None)
    register(tmp_path, registered_content(plan, {"B": {}}), None)


def test_configs_and_sources_are_registered_by_content(tmp_path, plan, monkeypatch):
    shutil.copytree(CONFIGS_DIR, tmp_path / "configs")
    before = registered_content(plan, DATA, tmp_path / "configs")
    assert before == registered_content(plan, DATA)
    path = tmp_path / "configs/inference.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"device": "cpu"}))
    after = registered_content(plan, DATA, tmp_path / "configs")
    (difference,) = differences(before, after)
    assert difference.startswith("configs.inference.json")


def test_what_ran_without_registration_stays_known(tmp_path, plan):
    content = registered_content(plan, DATA)
    assert unregistered(tmp_path, content) == ["nothing is registered"]
    remember_changes(tmp_path, ["a: 1 -> 2"])
    remember_changes(tmp_path, ["a: 1 -> 2", "b: 1 -> 2"])
    assert remembered_changes(tmp_path) == ["a: 1 -> 2", "b: 1 -> 2"]
    register(tmp_path, content, None)
    assert unregistered(tmp_path, content) == []
