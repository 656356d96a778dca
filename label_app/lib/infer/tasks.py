"""The tasks the viewers are offered."""

from typing import Any

from igtv.inference.case_segmenter import CaseSegmenter
from igtv.processes import bound_threads
from monailabel.interfaces.tasks.infer_v2 import InferTask

from .automatic import AutomaticTask
from .clicking import ClickTask, by_clicks, by_end_marks
from .proposals import Proposals


def create_infers(app: Any) -> dict[str, InferTask]:
    """Infer tasks by name, computing on the processors this process may use. The first is run by Slicer on a new case.

    Args:
        app: with `models`, `network`, `folders`, `bundle_dir`, `options`; gets `proposals`.
    """
    bound_threads()
    app.proposals = Proposals(CaseSegmenter(app.bundle_dir, app.options.device or None), app.network)
    return {
        "igtv": AutomaticTask(app, "igtv", "igtv", "Proposes the IGTV on PET/CT"),
        "gtv": AutomaticTask(app, "gtv", "gtv", "Proposes the GTV on PET/CT, as the CT shows it"),
        "igtv_clicks": ClickTask(app, "igtv", "igtv", "Corrects the IGTV by clicks inside and outside", by_clicks),
        "igtv_end_slices": ClickTask(
            app,
            "igtv",
            "igtv",
            "Ends the IGTV at slices marked by a click: inside = last slice with tumour, outside = first without",
            by_end_marks,
        ),
    }


def warm_up(app: Any) -> None:
    """Load the current models and run the network once, so that the first request is not the slow one."""
    with app.network.turn():
        for registry in app.models.values():
            app.proposals.segmenter.warm_up(registry.current().path / "model.pt")
