"""Routes of the labels: the submit panel that OHIF's page loads."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.responses import FileResponse

SUBMIT_SCRIPT = Path(__file__).parent / "static" / "ohif_submit.js"
PREFIX = "/annotate"
SCRIPT_PATH = f"{PREFIX}/ohif_submit.js"


def create_router(app: Any) -> APIRouter:
    """Routes of `/annotate/`."""
    router = APIRouter(prefix=PREFIX, include_in_schema=False)

    @router.get("/ohif_submit.js")
    def submit_script() -> FileResponse:
        """The submit panel."""
        return FileResponse(SUBMIT_SCRIPT, media_type="text/javascript", headers={"cache-control": "no-cache"})

    return router
