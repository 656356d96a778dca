"""What the app offers, how it is, which models it uses."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse
from monailabel import endpoints

from ...paths import is_remote
from .. import identifiers
from ..errors import RequestError

STATIC = Path(endpoints.__file__).parent / "static"
START_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>IGTV annotation</title></head>
<body style="font: 16px system-ui, sans-serif; max-width: 40rem; margin: 3rem auto">
<h1>IGTV annotation</h1><p>The server runs. {viewer}</p>
<p>3D Slicer: enter this address in the MONAI Label module. <a href="info/">What the app offers</a>,
<a href="health">state of the server</a>.</p></body></html>"""


def create_router(app: Any) -> APIRouter:
    """Routes of `/`, `/info/`, `/health`, `/model/info/`.

    Args:
        app: the app.
    """
    router = APIRouter(tags=["App"])

    @router.get("/", include_in_schema=False)
    def start_page() -> HTMLResponse:
        """Where a browser lands."""
        viewer = '<a href="ohif/">Open OHIF</a>.' if is_remote(app.studies) else "OHIF needs studies from a PACS."
        return HTMLResponse(START_PAGE.format(viewer=viewer))

    @router.get("/favicon.ico", include_in_schema=False)
    def icon() -> FileResponse:
        """Icon of MONAI Label."""
        return FileResponse(STATIC / "favicon.ico", media_type="image/x-icon")

    @router.get("/info/")
    def info() -> dict:
        """Models, labels, strategies, trainers and their progress; never waits for the network."""
        return app.info()

    @router.get("/health")
    def health(request: Request) -> dict:
        """Result of the checks at the start, whether the warm-up is over, and how busy the server is."""
        checks = [check.as_dict() for check in getattr(request.app.state, "checks", [])]
        network = {"busy": app.network.busy, "waiting": app.network.waiting}
        warm_up = getattr(app, "ready", None)  # there once the server has begun
        return {
            "ok": all(check["ok"] or not check["fatal"] for check in checks),
            "ready": warm_up is not None and warm_up.is_set(),
            "checks": checks,
            "network": network,
        }

    @router.get("/model/info/{model}")
    def model_info(model: str) -> dict:
        """Version and hash of the model in use; versions are managed with `python -m label_app models`."""
        identifiers.known(model, app.infers(), "model")
        name = getattr(app.infers()[model], "registry_name", model)
        if name not in app.models:
            raise RequestError(f"Model '{model}' has no versions of its own.", 404)
        version = app.models[name].current()
        state = {"name": name, "version": version.number, "status": str(version.status), "metrics": version.metrics}
        modified = int(version.model_path.stat().st_mtime)
        return {"checksum": f"SHA256:{version.sha256}", "modified_time": modified, **state}

    return router
