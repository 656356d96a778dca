"""Inference: the answers MONAI Label's clients expect, in a line for the network."""

import json
import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Request, UploadFile
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, JSONResponse, Response
from requests_toolbelt import MultipartEncoder
from starlette.background import BackgroundTask

from lib.infer.answers import first
from lib.infer.automatic import MASK
from lib.labels.pacs_objects import proposal_seg

from .. import identifiers, parameters
from ..errors import RequestError
from ..uploads import media_type
from ..workers import Workers
from .sessions import find_session


class ResultType(StrEnum):
    """What the client wants back."""

    image = "image"
    json = "json"
    all = "all"
    dicom_seg = "dicom_seg"


def remove(path: str | os.PathLike | None) -> None:
    """Remove a file that may be gone."""
    if path:
        Path(path).unlink(missing_ok=True)


def create_router(app: Any, workers: Workers) -> APIRouter:
    """Routes of `/infer/`.

    Args:
        app: the app.
        workers: threads for it.
    """
    router = APIRouter(prefix="/infer", tags=["Infer"])

    def run(model: str, image: str, session: str, params: str, output: ResultType, user: str) -> Response:
        identifiers.known(model, app.infers(), "model")
        given = parameters.checked(parameters.parse_json(params), parameters.INFER, app.infers()[model])
        if output is ResultType.dicom_seg:
            refuse_other_than_masks(app, given, session)
        request = {**given, "model": model, "user": user, "image": ""}
        if session:
            request["session"] = find_session(app, session).to_json()
        else:
            request["image"] = identifiers.image_id(image)
        result = app.infer(request)
        file = result.get("file")
        try:
            return respond(app, request, result, output)
        except BaseException:
            remove(file)
            raise

    @router.post("/{model}")
    async def infer(
        request: Request,
        model: str,
        image: str = "",
        session_id: str = "",
        params: Annotated[str, Form()] = "{}",
        file: Annotated[UploadFile | None, File()] = None,
        label: Annotated[UploadFile | None, File()] = None,
        output: ResultType = ResultType.all,
    ):
        """Run a model on a case of the store or of a session."""
        if file or label:
            raise RequestError(
                "Models here need CT and PET: send both to /session/ and infer with its id. Scribbles are not used.",
                400,
            )
        identifiers.known(model, app.infers(), "model")
        if not session_id:
            # who waits for the PACS does not stand in the line for the network
            case, store = identifiers.image_id(image), app.datastore()
            if not await run_in_threadpool(store.is_here, case):
                await workers.pacs(store.case, case)
        return await workers.network(run, model, image, session_id, params, output, request.state.user)

    return router


def refuse_other_than_masks(app: Any, given: dict, session: str) -> None:
    """Say before the network runs that a DICOM SEG cannot be made of what is asked for.

    Args:
        app: the app.
        given: parameters of the client.
        session: id of a session; "" for a case of the store.

    Raises:
        RequestError: there is no DICOM to refer to, or the answer is a map.
    """
    if session or not hasattr(app.datastore(), "ct_dicom"):
        raise RequestError("A DICOM SEG is made for cases of a DICOMweb store only.", 400)
    wanted = first(given.get("output") or MASK)
    if wanted != MASK:
        raise RequestError(
            f"A DICOM SEG holds a mask, not the {wanted}: ask for it with output=image, or with the parameter "
            f"'output' = '{MASK}'.",
            400,
        )


def respond(app: Any, request: dict, result: dict, output: ResultType) -> Response:
    """Answer with the mask, the result's parameters, both, or a DICOM SEG; the file is removed once it is sent."""
    file, params = result.get("file"), result.get("params")
    if output is ResultType.json or not file:
        remove(file)
        return JSONResponse(params)
    if output is ResultType.image:
        return FileResponse(file, media_type=media_type(file), background=BackgroundTask(remove, file))
    if output is ResultType.dicom_seg:
        seg = proposal_seg(app.datastore(), request["image"], Path(file), params)
        remove(file)
        return FileResponse(seg, media_type="application/dicom", background=BackgroundTask(remove, seg))
    with open(file, "rb") as content:
        fields = {
            "params": (None, json.dumps(params), "application/json"),
            "image": (os.path.basename(file), content.read(), media_type(file)),
        }
    remove(file)
    body = MultipartEncoder(fields=fields)
    return Response(body.to_string(), media_type=body.content_type)
