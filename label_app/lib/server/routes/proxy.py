"""The PACS for OHIF: searches and retrievals are passed on, segmentations are stored after a check, nothing else."""

import logging
from typing import Any

import httpx
from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse
from monailabel.config import settings

from lib.labels.stow import receive_stow
from lib.studies.pacs_access import PacsAccess, access_of

from ...paths import is_remote
from ..dicomweb_paths import clean_query, may_read, may_store
from ..errors import RequestError
from ..workers import Workers

logger = logging.getLogger(__name__)
PASSED_ON = ("content-type", "content-length", "content-encoding", "etag", "last-modified", "warning")
MAX_STORE_BYTES = 256 * 10**6
# whatever a PACS sends, it is never run as a page of this server
NO_PAGE = {"content-security-policy": "default-src 'none'; sandbox", "cache-control": "private, no-store"}


class Pacs:
    """Connection to the PACS, opened at the first request.

    Args:
        studies: its DICOMweb address.
        access: user, password, certificate.
    """

    def __init__(self, studies: str, access: PacsAccess):
        self.access = access
        self.studies = studies.rstrip("/")
        self._client: httpx.AsyncClient | None = None

    def client(self) -> httpx.AsyncClient:
        """One client for all requests: no redirects, no proxies of the environment."""
        if self._client is None:
            timeout = httpx.Timeout(settings.MONAI_LABEL_DICOMWEB_PROXY_TIMEOUT, connect=5.0)
            limits = httpx.Limits(max_connections=32)
            self._client = httpx.AsyncClient(
                auth=self.access.auth,
                verify=self.access.context(),
                timeout=timeout,
                limits=limits,
                follow_redirects=False,
                trust_env=False,
            )
        return self._client

    def address(self, operation: str, path: str, query: str) -> str:
        """Address of a checked path at the PACS."""
        search = operation == "qido" and not path.endswith("metadata")
        prefix = settings.MONAI_LABEL_QIDO_PREFIX if search else settings.MONAI_LABEL_WADO_PREFIX
        return "/".join(part for part in (self.studies, prefix if operation else "", path) if part) + (
            f"?{query}" if query else ""
        )


def create_router(app: Any, workers: Workers) -> APIRouter:
    """Routes of `/proxy/dicom/`.

    Args:
        app: the app.
        workers: threads for the check of what is stored.
    """
    router = APIRouter(prefix="/proxy/dicom", include_in_schema=False)
    pacs = Pacs(app.studies, access_of(app)) if is_remote(app.studies) else None

    async def read(request: Request, operation: str, path: str) -> Response:
        if pacs is None:
            raise RequestError("The studies are files in a folder; there is no PACS behind this server.", 404)
        query = request.scope.get("query_string", b"").decode("latin-1")
        if not may_read(path) or not clean_query(query):
            raise RequestError("Only searches and retrievals of DICOMweb are passed on to the PACS.", 403)
        return await pass_on(pacs, pacs.address(operation, path, query), request.headers.get("accept", "*/*"))

    async def store(request: Request, path: str) -> Response:
        kind = request.headers.get("content-type", "")
        if pacs is None:
            raise RequestError("Nothing can be stored through this server.", 403)
        if not may_store(path) or not kind.lower().startswith("multipart/related"):
            raise RequestError("Only DICOM instances can be stored, as multipart/related.", 403)
        body = await limited_body(request, MAX_STORE_BYTES)
        agent = request.headers.get("user-agent", "")[:200]
        return await workers.pacs(receive_stow, app, kind, body, request.state.user, agent)

    @router.get("/{operation}/{path:path}")
    async def read_by_operation(request: Request, operation: str, path: str):
        if operation in ("wado", "qido"):
            return await read(request, operation, path)
        return await read(request, "", f"{operation}/{path}" if path else operation)

    @router.get("/{path}")
    async def read_plain(request: Request, path: str):
        return await read(request, "", path)

    @router.post("/{operation}/{path:path}")
    async def store_by_operation(request: Request, operation: str, path: str):
        return await store(request, path if operation in ("wado", "qido", "stow") else f"{operation}/{path}")

    @router.post("/{path}")
    async def store_plain(request: Request, path: str):
        return await store(request, path)

    return router


async def limited_body(request: Request, max_bytes: int) -> bytes:
    """Body of a request, counted while it comes: one that is sent in chunks does not announce its length.

    Raises:
        RequestError: 413, it is larger.
    """
    announced, body = request.headers.get("content-length", "0"), bytearray()
    if int(announced) <= max_bytes:
        async for part in request.stream():
            body += part
            if len(body) > max_bytes:
                break
        else:
            return bytes(body)
    raise RequestError("This is too much for a segmentation.", 413)


async def pass_on(pacs: Pacs, address: str, accept: str) -> Response:
    """The PACS's answer, streamed."""
    request = pacs.client().build_request("GET", address, headers={"Accept": accept})
    try:
        answer = await pacs.client().send(request, stream=True)
    except httpx.HTTPError as error:
        logger.warning("PACS: %s", pacs.access.explain(error) or error)
        told = pacs.access.tell(error) or type(error).__name__
        raise RequestError(f"The PACS does not answer ({told}).", 502) from None
    if answer.status_code >= 300 and answer.status_code != 304:
        await answer.aclose()
        status = answer.status_code if answer.status_code in (404, 406, 413) else 502
        if reason := pacs.access.explain(answer.status_code):
            logger.warning("PACS: status %d: %s", answer.status_code, reason)
        told = pacs.access.tell(answer.status_code)
        raise RequestError(f"The PACS answered with status {answer.status_code}{told and f': {told}'}.", status)
    headers = {name: answer.headers[name] for name in PASSED_ON if name in answer.headers} | NO_PAGE
    return StreamingResponse(content(answer), answer.status_code, headers)


async def content(answer: httpx.Response):
    """Body of the answer as it comes; closed also when the client goes away."""
    try:
        async for part in answer.aiter_raw():
            yield part
    finally:
        await answer.aclose()
