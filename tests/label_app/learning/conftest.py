"""The app with six labelled cases, and a stand-in for the cycle of a training."""

from types import SimpleNamespace

import pytest
from igtv.learning.model_version import ModelVersion
from lib.learning import learning_loop
from lib.learning.models import open_models
from lib.learning.tasks import create_trainers
from lib.options import AppOptions
from lib.paths import data_folders

from .six_cases import Datastore


@pytest.fixture
def app(tmp_path, bundle_dir):
    made = SimpleNamespace(
        options=AppOptions(), folders=data_folders(str(tmp_path)).make(), bundle_dir=bundle_dir, learning=None
    )
    store = Datastore(tmp_path / "cases")
    made.datastore = lambda: store
    made.models = open_models(made)
    create_trainers(made)
    return made


@pytest.fixture
def cycle(monkeypatch, app):
    """Stand-in for `run_cycle`: `cycle.calls` holds what it was given; `cycle.behave` does its work."""
    record = SimpleNamespace(calls=[], behave=lambda **given: None)

    def run(registry, cases, frozen, work_dir, settings, **given):
        record.calls.append({"cases": cases, "frozen": frozen, "settings": settings, **given})
        given["progress"].start(phase="collecting")
        record.behave(**given)
        decision = {"accepted": True, "reasons": ["better"], "dice": {"current": 0.4, "candidate": 0.6}}
        given["progress"].update(state="done", version=2, accepted=True, reasons=["better"], dice=decision["dice"])
        first = registry.current()
        return ModelVersion("igtv", 2, first.path, first.card, first.sha256, {}, "accepted", {}, decision)

    monkeypatch.setattr(learning_loop, "run_cycle", run)
    return record
