"""Pre-registration: what is fixed, and that nothing else runs afterwards."""

import pytest
from igtv.study.plan import plan_from
from igtv.study.registration import (
    NotRegistered,
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
    assert set(content["configs"]) == {"train.json", "finetune.json", "baselines/segresnet.json"}


def test_what_ran_without_registration_stays_known(tmp_path, plan):
    content = registered_content(plan, DATA)
    assert unregistered(tmp_path, content) == ["nothing is registered"]
    remember_changes(tmp_path, ["a: 1 -> 2"])
    remember_changes(tmp_path, ["a: 1 -> 2", "b: 1 -> 2"])
    assert remembered_changes(tmp_path) == ["a: 1 -> 2", "b: 1 -> 2"]
    register(tmp_path, content, None)
    assert unregistered(tmp_path, content) == []
