"""OHIF's files, as they lie in MONAI Label's package."""

from pathlib import Path
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse, Response

from ...labels.routes import SCRIPT_PATH as SUBMIT_SCRIPT
from ..uploads import media_type
from .information import STATIC

OHIF = (STATIC / "ohif").resolve()


def ohif_file(path: str) -> Path:
    """File of OHIF, or its page, which reads the rest of the address itself; never one outside its folder."""
    try:
        file = (OHIF / path).resolve()
        inside = file.is_relative_to(OHIF) and file.is_file()
    except (OSError, ValueError):
        inside = False
    return file if inside else OHIF / "index.html"


def create_router() -> APIRouter:
    """Routes of `/ohif/`."""
    router = APIRouter(prefix="/ohif", include_in_schema=False)

    @router.get("/{path:path}")
    def ohif(request: Request, path: str) -> Response:
        """A file; the page gets the address of this server for its MONAI Label panel."""
        file = ohif_file(path)
        if file.name != "index.html":
            return FileResponse(file, media_type=media_type(file))
        root = request.scope.get("root_path", "")
        # the panel that submits labels, which OHIF's own MONAI Label panel lacks
        panel = f'<script defer src="{root}{SUBMIT_SCRIPT}"></script></head>'
        page = file.read_text(encoding="utf-8").replace("</head>", panel, 1)
        answer = HTMLResponse(page, headers={"cache-control": "no-store"})
        # the panel reads this cookie; without it, it calls port 8000 of 127.0.0.1 whatever the page's own address
        server = quote(f"{request.url.scheme}://{request.url.netloc}{root}/", safe="")
        answer.headers.append("set-cookie", f"MONAILABEL_SERVER_URL={server}; Path=/; SameSite=Strict")
        return answer

    return router
