"""GTV contours are neither learned from as IGTV nor measured on; where the kind is not said, it counts as right."""

import json

import pytest
from igtv.data.datalist import read_datalist
from igtv.learning import campaign, session
from igtv.learning.contour_kinds import learned_contours
from igtv.learning.session import retrain


class Reached(Exception):
    """A cycle would begin."""


@pytest.fixture
def cycle(monkeypatch):
    """Stand-in for `run_cycle` that begins nothing; `cycle[-1]` is what it was given."""
    calls = []

    def run(registry, labelled, frozen, work_dir, settings, pretraining=(), progress=None, left_out=None):
        calls.append({"labelled": labelled, "frozen": frozen, "pretraining": pretraining, "left_out": left_out})
        raise Reached

    monkeypatch.setattr(session, "run_cycle", run)
    return calls


@pytest.fixture
def datalist_of(phantom_dir, tmp_path):
    """`datalist_of({case: kind})`: a datalist of the phantom in which the others say no kind; fold 0 has two cases."""

    def write(kinds):
        items = json.loads((phantom_dir / "dataset.json").read_text())["training"]
        for item in items:
            item.pop("label_kind", None)
            item |= {"label_kind": kinds[item["patient_id"]]} if kinds.get(item["patient_id"]) else {}
        path = tmp_path / f"list{len(list(tmp_path.glob('list*')))}.json"
        path.write_text(json.dumps({"training": items}))
        return path

    return write


@pytest.fixture
def names(phantom_dir):
    """Cases of fold 0, and the others."""
    items = read_datalist(phantom_dir / "dataset.json").training
    return [[item.case for item in items if (item.fold == 0) == frozen] for frozen in (True, False)]


@pytest.fixture
def start(phantom_dir, weak_model, tmp_path):
    def run(datalist, models="models", **settings):
        return retrain(phantom_dir, datalist, tmp_path / models, weak_model, **settings)

    return run


def test_gtv_contours_alone_are_refused(cycle, start, datalist_of, names, tmp_path):
    every = datalist_of(dict.fromkeys(sum(names, []), "gtv"))
    with pytest.raises(
        ValueError, match=r"5 labelled case.s. of .* hold GTV contours .*no IGTV contour is left"
    ) as told:
        start(every)
    assert names[0][0] in str(told.value) and not cycle
    assert not (tmp_path / "models").exists()


def test_of_mixed_contours_the_gtvs_are_left_out_and_named(cycle, start, datalist_of, names, caplog):
    frozen, others = names
    mixed = datalist_of({frozen[0]: "gtv", others[0]: "gtv", others[1]: "igtv"})
    with pytest.raises(Reached):
        start(mixed)
    assert cycle[-1]["frozen"].patients == {frozen[1]}
    assert {case["case"] for case in cycle[-1]["labelled"]} == {frozen[1], *others[1:]}
    assert set(cycle[-1]["left_out"]) == {frozen[0], others[0]}
    assert all("GTV" in reason for reason in cycle[-1]["left_out"].values())
    (warning,) = [record.getMessage() for record in caplog.records if "label_kind" in record.getMessage()]
    assert frozen[0] in warning and others[0] in warning


def test_an_unknown_kind_counts_as_right(cycle, start, datalist_of, names):
    with pytest.raises(Reached):
        start(datalist_of({}))
    assert cycle[-1]["frozen"].patients == set(names[0]) and cycle[-1]["left_out"] == {}


def test_cases_of_the_pretraining_may_be_gtvs(cycle, start, datalist_of, names):
    """Their paths start from the phantom's folder."""
    gtv = datalist_of(dict.fromkeys(sum(names, []), "gtv"))
    with pytest.raises(Reached):
        start(datalist_of({}), pretraining_datalist=gtv, pretraining_cases=2)
    assert len(cycle[-1]["pretraining"]) == 5


def test_a_frozen_set_that_was_made_of_gtv_contours_is_refused(cycle, start, datalist_of, names, tmp_path):
    """Made while the datalist did not say so; other models are not touched by it."""
    frozen, _ = names
    with pytest.raises(Reached):
        start(datalist_of({}))
    with pytest.raises(ValueError, match=rf"1 case.s. of which .* GTV .*{frozen[1]}. It never changes: give another"):
        start(datalist_of({frozen[1]: "gtv"}))
    with pytest.raises(Reached):
        start(datalist_of({frozen[1]: "gtv"}), models="others")
    assert cycle[-1]["frozen"].patients == {frozen[0]}


def test_a_validation_list_of_gtv_contours_does_not_give_way_to_folds(datalist_of, names, phantom_dir, tmp_path):
    """Else the frozen set would be chosen of cases that were meant for learning."""
    content = json.loads(datalist_of(dict.fromkeys(names[0], "gtv")).read_text())
    items = [{key: value for key, value in item.items() if key != "fold"} for item in content["training"]]
    lists = {
        part: [item for item in items if (item["patient_id"] in names[0]) == (part == "validation")]
        for part in ("training", "validation")
    }
    (tmp_path / "lists.json").write_text(json.dumps(lists))
    with pytest.raises(ValueError, match="no IGTV contour is left in `validation` to measure on"):
        learned_contours(read_datalist(tmp_path / "lists.json", phantom_dir))


def test_a_campaign_chooses_and_measures_without_gtv_contours(
    monkeypatch, datalist_of, names, weak_model, phantom_dir, tmp_path
):
    pools = []

    def no_rounds(choice, registry, frozen, *_):
        pools.append((set(choice.pool), frozen.patients))
        raise Reached

    monkeypatch.setattr(campaign, "_rounds", no_rounds)
    frozen, others = names
    common = {"dataset_dir": phantom_dir, "model_path": weak_model, "strategies": "first", "device": "cpu"}
    with pytest.raises(Reached):
        campaign.run_campaign(tmp_path / "a", datalist=datalist_of({frozen[0]: "gtv", others[0]: "gtv"}), **common)
    assert pools == [(set(others[1:]), {frozen[1]})]
    with pytest.raises(ValueError, match="no IGTV contour is left"):
        every = datalist_of(dict.fromkeys(sum(names, []), "gtv"))
        campaign.run_campaign(tmp_path / "b", datalist=every, **common)
