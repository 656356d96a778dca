"""One inference: the case by its id, never by a path."""

import copy
from typing import Any

from . import identifiers


def run_inference(app: Any, request: dict[str, Any], datastore: Any = None) -> dict[str, Any]:
    """What MONAI Label's `infer` does, without its way of taking an id for a file on the server.

    The task takes its turn at the network itself, and only where it needs one: a click does not wait for others' cases.

    Args:
        app: the app.
        request: `model`, `image` (id of the case) or `session` (of the server's own making), checked parameters.
        datastore: in place of the app's.

    Returns:
        `file` and `label` (path of the mask), `tag`, `params`.

    Raises:
        RequestError: for an unknown model or an id that is none.
    """
    request = copy.deepcopy(request)
    task = app.infers()[identifiers.known(request.get("model"), app.infers(), "model")]
    datastore = datastore or app.datastore()
    request["description"] = task.description
    request.pop("save_label", None)  # what is worth keeping of a case, its task keeps
    if request.get("session"):
        request["image"] = request["session"]["image"]
    else:
        request["case_id"] = identifiers.image_id(request.get("image"))
        request["image"] = datastore.get_image_uri(request["case_id"])
    file, params = task(request)
    return {"label": file, "tag": "original", "file": file, "params": params}
