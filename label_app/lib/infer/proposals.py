"""Proposals that were computed lately, so that a click does not wait for the network."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from igtv.inference.case_segmenter import CaseProposal, CaseSegmenter

from .inputs import InferCase

MEMORY_BYTES = 1_500_000_000  # two or three whole thoraxes of 512 x 512 x 300
Listener = Callable[[InferCase, Any, CaseProposal], None]


class Proposals:
    """What the current models say about the cases asked for lately.

    Args:
        segmenter: runs the network.
        network: turns at the network (`NetworkQueue`).
        memory_bytes: the oldest ones go when all together are larger; the newest always stays.

    Attributes:
        listeners: called with case, model version and proposal for every new proposal of a stored case.
    """

    def __init__(self, segmenter: CaseSegmenter, network: Any, memory_bytes: int = MEMORY_BYTES):
        self.segmenter = segmenter
        self.network = network
        self.memory_bytes = memory_bytes
        self.listeners: list[Listener] = []
        self._kept: OrderedDict[tuple, CaseProposal] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, version: Any, case: InferCase, keep: bool = True) -> CaseProposal:
        """The proposal of a model version for a case.

        Args:
            version: `ModelVersion` of a registry.
            case: CT and PET.
            keep: hold it in memory for later requests; not when many cases pass by once.

        Raises:
            NetworkBusy: no turn at the network in time.
            ValueError: see `CaseSegmenter.segment`.
        """
        key = (version.sha256, _mark(case.ct), _mark(case.pet))
        found = self._find(key)
        if found is not None:
            return found
        with self.network.turn():
            found = self._find(key)  # somebody may have asked for the same meanwhile
            if found is not None:
                return found
            proposal = self.segmenter.segment(Path(version.path) / "model.pt", case.ct, case.pet)
        if keep:
            self._keep(key, proposal)
        if case.stored:
            for listener in self.listeners:
                listener(case, version, proposal)
        return proposal

    def _find(self, key: tuple) -> CaseProposal | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def _keep(self, key: tuple, proposal: CaseProposal) -> None:
        with self._lock:
            self._kept[key] = proposal
            while len(self._kept) > 1 and sum(kept.nbytes for kept in self._kept.values()) > self.memory_bytes:
                self._kept.popitem(last=False)


def _mark(path: Path) -> tuple[str, int, int]:
    """Changes when the file does."""
    status = path.stat()
    return str(path), status.st_mtime_ns, status.st_size
