"""Proposals in memory: once per case, model and file; one turn at the network."""

import threading

import numpy as np
import pytest
from igtv.networks.model_card import model_card_path
from lib.infer.inputs import requested_case
from lib.infer.tasks import warm_up
from lib.server.network_queue import NetworkBusy, NetworkQueue


def case_of(app, name):
    return requested_case({"case_id": name}, app.datastore())


def test_same_case_is_computed_once(app):
    version, case = app.models["igtv"].current(), case_of(app, "RAS")
    assert app.proposals.get(version, case) is app.proposals.get(version, case)
    assert len(app.proposals.segmenter.calls) == 1


def test_changed_file_is_computed_again(app):
    version, case = app.models["igtv"].current(), case_of(app, "RAS")
    app.proposals.get(version, case)
    case.pet.write_bytes((app.studies / "pet" / "LPS.nii.gz").read_bytes() + b"")
    app.proposals.get(version, case_of(app, "RAS"))
    assert len(app.proposals.segmenter.calls) == 2


def test_new_model_version_is_used_at_the_next_request(app, tmp_path, bundle_dir):
    """And the old one again after a rollback, from memory."""
    registry = app.models["igtv"]
    first = app.proposals.get(registry.current(), case_of(app, "RAS"))
    import torch
    from igtv.networks.model_card import read_model_card, write_model_card

    weights = torch.load(bundle_dir / "models" / "model.pt", weights_only=True)
    name = next(key for key, value in weights.items() if value.is_floating_point())
    weights[name] = weights[name] + 1e-3
    torch.save(weights, tmp_path / "model.pt")
    card = read_model_card(bundle_dir / "models" / "model.pt")
    keys = ("spacing_mm", "hu_window", "suv_range", "num_slices")
    write_model_card(
        tmp_path / "model.pt", name="IGTV model", task="igtv", network=card["network"], trained_on="5 labels",
        **{key: card[key] for key in keys},
    )  # fmt: skip
    assert model_card_path(tmp_path / "model.pt").is_file()
    registry.accept(registry.add(tmp_path), {"reasons": ["better"]})
    task = app.infers["igtv"]
    assert "IGTV model, version 2, trained on 5 labels" in task.description
    _, params = task({"case_id": "RAS"})
    assert params["model"]["version"] == 2
    assert app.proposals.segmenter.calls[-1][0] == registry.current().path / "model.pt"
    registry.rollback()
    assert app.proposals.get(registry.current(), case_of(app, "RAS")) is first


def test_memory_is_bounded(app):
    version = app.models["igtv"].current()
    size = app.proposals.get(version, case_of(app, "RAS")).nbytes
    app.proposals.memory_bytes = 2 * size
    for name in ("LPS", "LPI", "RAS"):
        app.proposals.get(version, case_of(app, name))
    assert [call[1][:3] for call in app.proposals.segmenter.calls] == ["RAS", "LPS", "LPI", "RAS"]


def test_threads_that_want_the_same_wait_for_one_of_them(app):
    version, case = app.models["igtv"].current(), case_of(app, "RAS")
    found = []
    threads = [threading.Thread(target=lambda: found.append(app.proposals.get(version, case))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 4 and len({id(entry) for entry in found}) == 1
    assert len(app.proposals.segmenter.calls) == 1


def test_busy_network_is_said(app):
    app.proposals.network = NetworkQueue(wait_seconds=0.05)
    entered, leave = threading.Event(), threading.Event()

    def hold():
        with app.proposals.network.turn():
            entered.set()
            leave.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    entered.wait(10)
    with pytest.raises(NetworkBusy):
        app.proposals.get(app.models["igtv"].current(), case_of(app, "RAS"))
    leave.set()
    holder.join(10)


def test_warm_up_runs_every_model(app):
    warm_up(app)
    assert [call[1] for call in app.proposals.segmenter.calls] == ["warm-up"] * 2


def test_clicks_leave_the_proposal_as_it_is(app):
    version, case = app.models["igtv"].current(), case_of(app, "RAS")
    before = app.proposals.get(version, case).mask.copy()
    app.infers["igtv_clicks"]({"case_id": "RAS", "background": [[37, 21, 12]]})
    assert np.array_equal(app.proposals.get(version, case).mask, before)
