"""The simulated campaign: who chooses, who answers, what is measured, and that no strategy sees another's labels."""

import csv
from types import SimpleNamespace

import pytest
from igtv.learning import campaign
from igtv.learning.campaign import Choice, run_campaign
from igtv.learning.campaign_curve import save_curve
from igtv.learning.registry import ModelRegistry
from igtv.learning.retrain import NothingNew
from igtv.learning.selection import CaseScore
from matplotlib.image import imread


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_round_learns_what_its_strategy_chose(phantom_dir, frozen, weak_model, tiny_settings, tmp_path):
    settings = dict(tiny_settings().finetuning)
    settings |= {"epochs": 1, "samples_per_epoch": 1}
    folder = tmp_path / "campaign"
    arguments = {
        "dataset_dir": phantom_dir,
        "datalist": phantom_dir / "dataset.json",
        "model_path": weak_model,
        "strategies": ("diverse", "random"),
        "rounds": 1,
        "cases_per_round": 2,
        "device": "cpu",
        "finetuning": settings,
        "own_process": False,
    }
    rows = run_campaign(folder, **arguments)
    table = rows_of(folder / "campaign.csv")
    assert [(row["strategy"], row["round"], row["labels"]) for row in table] == [
        (strategy, number, labels) for strategy in ("diverse", "random") for number, labels in (("0", "0"), ("1", "2"))
    ]
    assert len({row["dice"] for row in table if row["round"] == "0"}) == 1  # one start for all
    held_out = {case for case in (folder / "frozen").iterdir() if case.is_dir()}
    for row in rows[1::2]:
        version = ModelRegistry(folder / f"{row['strategy']}_0").version(2)
        learned = {entry["case"] for entry in version.data}
        assert learned == set(row["cases"].split()) and len(learned) == 2
        assert not learned & {case.name for case in held_out}
        expected = row["candidate_dice"] if row["accepted"] else rows[0]["dice"]
        assert row["dice"] == pytest.approx(expected)
    assert imread(folder / "campaign.png").shape[2] == 4
    with pytest.raises(FileExistsError, match="new output_dir"):
        run_campaign(folder, **arguments)


def test_a_round_of_negatives_teaches_nothing_and_the_next_goes_on(monkeypatch, tmp_path):
    pool = [{"case": "a", "no_tumour": True}, {"case": "b"}]
    learned = []

    def cycle(registry, answers, *_):
        learned.append([case["case"] for case in answers])
        if all(case.get("no_tumour") for case in answers):
            raise NothingNew("all labels say that there is no tumour")
        return SimpleNamespace(number=2, decision={"dice": {"current": 0.2, "candidate": 0.7}, "accepted": True})

    monkeypatch.setattr(campaign, "run_cycle", cycle)
    choice = SimpleNamespace(strategy="first", seed=0, pool={case["case"]: case for case in pool})
    choice.next = lambda model, labelled, count, number: [name for name in "ab" if name not in labelled][:count]
    registry = SimpleNamespace(current=lambda: None)
    rows = list(campaign._rounds(choice, registry, None, tmp_path, None, rounds=5, count=1))
    assert learned == [["a"], ["a", "b"]]
    assert [(row["round"], row["labels"], row["dice"]) for row in rows] == [(0, 0, 0.2), (2, 2, 0.7)]


def test_scores_are_computed_once_per_model_and_only_where_needed(registry, weak_model, monkeypatch):
    asked = []
    monkeypatch.setattr(Choice, "_score", lambda self, model, case: asked.append(case["case"]) or CaseScore(0.5))
    pool = [{"case": "a"}, {"case": "b"}]
    first = registry.current()
    choice = Choice("uncertainty", 0, pool, None)
    assert choice.next(first, [], 1, 1) and choice.next(first, ["a"], 1, 2) == ["b"]
    assert asked == ["a", "b"]
    second = registry.accept(registry.add(weak_model), {"reasons": []})
    assert choice.next(second, ["a", "b"], 1, 3) == []
    assert asked == ["a", "b"] * 2
    assert len(Choice("random", 0, pool, None).next(first, [], 2, 1)) == 2 and len(asked) == 4


def test_settings_that_do_not_fit_are_named(tmp_path):
    with pytest.raises(ValueError, match="strategies=.*best.*choose among"):
        run_campaign(tmp_path, tmp_path, tmp_path, tmp_path, strategies=["best"])
    with pytest.raises(ValueError, match="rounds is 0"):
        run_campaign(tmp_path, tmp_path, tmp_path, tmp_path, rounds=0)


def test_several_seeds_are_drawn_as_one_line(tmp_path):
    rows = [
        {"strategy": "random", "seed": seed, "labels": labels, "dice": 0.1 * labels + seed / 100}
        | {"accepted": labels != 4, "candidate_dice": 0.1}
        for seed in (0, 1)
        for labels in (0, 2, 4)
    ]
    save_curve(tmp_path / "curve.png", rows)
    assert imread(tmp_path / "curve.png").std() > 0
