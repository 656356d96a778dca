"""One interface for both datastores: what the rest of the app calls, each of them has, with the same parameters."""

import inspect
import re

from lib.studies.dicomweb_datastore import PairedDicomWebDatastore
from lib.studies.local_datastore import PairedLocalDatastore
from lib.studies.paired_datastore import PairedDatastore

# what only the parts call that know which of the two it is
OWN = {
    PairedLocalDatastore: {"cases"},
    PairedDicomWebDatastore: {"accept_from_pacs", "ct_dicom", "label_series", "series"},
}
CALL = re.compile(r"\b(?:datastore(?:\(\))?|store)\.(\w+)\(")


def public_methods(kind: type) -> dict[str, list[str]]:
    members = inspect.getmembers(kind, inspect.isfunction)
    return {name: list(inspect.signature(method).parameters) for name, method in members if not name.startswith("_")}


def test_both_datastores_are_called_alike():
    shared = public_methods(PairedDatastore)
    for kind, own in OWN.items():
        methods = public_methods(kind)
        assert set(methods) - set(shared) == own, kind.__name__
        assert {name: methods[name] for name in shared} == shared, kind.__name__


def test_the_app_calls_nothing_else(label_app_dir):
    called = {}
    for folder in ("server", "learning", "infer", "activelearning"):
        for path in (label_app_dir / "lib" / folder).rglob("*.py"):
            called |= dict.fromkeys(CALL.findall(path.read_text(encoding="utf-8")), path.name)
    assert len(called) > 10
    assert {name: file for name, file in called.items() if name not in public_methods(PairedDatastore)} == {}
