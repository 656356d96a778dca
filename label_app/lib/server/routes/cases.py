"""The store of cases and labels; nothing is deleted or overwritten through it."""

import hashlib
import hmac
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Request, UploadFile
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse

from lib.studies.paired_datastore import GRID, IMAGE

from .. import identifiers, parameters
from ..access import is_loopback
from ..errors import RequestError
from ..uploads import media_type, private_folder, store
from ..workers import Workers


class Listing(StrEnum):
    """How much of the store is listed."""

    stats = "stats"
    all = "all"
    train = "train"


def create_router(app: Any, workers: Workers) -> APIRouter:
    """Routes of `/datastore/`.

    Args:
        app: the app.
        workers: threads for uploads and downloads.
    """
    router = APIRouter(prefix="/datastore", tags=["Datastore"])

    @router.get("/")
    async def listing(request: Request, output: Listing = Listing.stats) -> Any:
        """Numbers, or everything the store knows of its cases and labels."""
        if output is Listing.all:
            return await run_in_threadpool(app.datastore().json)
        if output is Listing.train:
            if not is_loopback(request.client.host if request.client else ""):
                raise RequestError("The list of files is given on the server's own computer only.", 403)
            return await workers.pacs(app.datastore().datalist)
        return await run_in_threadpool(app.datastore().status)

    router.include_router(image_routes(app, workers))
    router.include_router(label_routes(app, workers))
    return router


def image_routes(app: Any, workers: Workers) -> APIRouter:
    """The CTs."""
    router = APIRouter()

    def image_file(image: str) -> Path:
        path = Path(app.datastore().get_image_uri(identifiers.image_id(image)))
        if not path.is_file():
            raise RequestError(f"The image of case '{image}' is not there.", 404)
        return path

    def is_here(image: str) -> bool:
        return app.datastore().is_here(identifiers.image_id(image), IMAGE)

    def check(image: str, check_sum: str | None) -> dict:
        path = image_file(image)
        if check_sum:
            algorithm, _, digest = check_sum.rpartition(":")
            if (algorithm or "SHA256").upper() not in ("SHA256", "SHA512"):
                raise RequestError("Checksums are SHA256 or SHA512.")
            with path.open("rb") as content:
                found = hashlib.file_digest(content, (algorithm or "SHA256").lower()).hexdigest()
            if not hmac.compare_digest(found, digest.lower()):
                raise RequestError("The image has another checksum.", 404)
        return {}

    @router.put("/", include_in_schema=False)
    @router.put("/image")
    def upload_image() -> dict:
        """Refused before anything of it is stored."""
        raise RequestError(
            "Images are not uploaded here: a case needs CT and PET; put both into the folder of the studies or the "
            "PACS. For inference on own volumes send both to /session/.",
            403,
        )

    @router.head("/image")
    async def has_image(image: str, check_sum: str | None = None) -> dict:
        """Whether there is such an image, with this checksum when one is given."""
        return await workers.files_or_pacs(lambda: is_here(image), check, image, check_sum)

    @router.get("/image")
    async def download_image(image: str) -> FileResponse:
        """The CT of a case."""
        path = await workers.files_or_pacs(lambda: is_here(image), image_file, image)
        return FileResponse(path, media_type=media_type(path), filename=path.name)

    @router.get("/image/info")
    def image_info(image: str) -> Any:
        """What is known of a case."""
        return app.datastore().get_image_info(identifiers.image_id(image))

    return router


def label_routes(app: Any, workers: Workers) -> APIRouter:
    """The labels."""
    router = APIRouter()

    def label_file(label: str, tag: str) -> Path:
        path = app.datastore().get_label_uri(identifiers.image_id(label), identifiers.tag(tag))
        if not path or not Path(path).is_file():
            raise RequestError(f"Case '{label}' has no label '{tag}'.", 404)
        return Path(path)

    def save_label(request: Request, image: str, params: str, tag: str, upload: UploadFile) -> dict:
        case, tag = identifiers.image_id(image), identifiers.tag(tag)
        given = parameters.checked(parameters.parse_json(params), parameters.LABEL)
        agent = request.headers.get("user-agent", "")[:200]
        given |= {"user": request.state.user, "client": agent if agent.isprintable() else ""}
        ending = identifiers.file_ending(upload.filename, identifiers.LABEL_ENDINGS)
        with private_folder(app.folders.temporary) as folder:
            file = store(upload.file, folder / f"label{ending}")
            label = app.datastore().save_label(case, str(file), tag, given)
        more = app.on_save_label(case, label)
        return {**(more or {}), "image": case, "label": label}

    @router.put("/label")
    async def submit_label(
        request: Request,
        image: str,
        label: Annotated[UploadFile, File()],
        params: Annotated[str, Form()] = "{}",
        tag: str = "final",
    ) -> dict:
        """Submit a label; it is stored when this answers 200, and never overwrites an earlier one's history."""

        def here() -> bool:
            return app.datastore().is_here(identifiers.image_id(image), GRID)

        return await workers.files_or_pacs(here, save_label, request, image, params, tag, label)

    @router.head("/label")
    def has_label(image: str, tag: str) -> dict:
        """Whether a case has such a label."""
        label_file(image, tag)
        return {}

    @router.get("/label")
    async def download_label(label: str, tag: str) -> FileResponse:
        """A label of a case."""
        path = await workers.files(label_file, label, tag)
        return FileResponse(path, media_type=media_type(path), filename=path.name)

    @router.get("/label/info")
    def label_info(label: str, tag: str) -> Any:
        """What is known of a label."""
        return app.datastore().get_label_info(identifiers.image_id(label), identifiers.tag(tag))

    return router
