"""Addresses of MONAI Label that this server does not offer, each with the way that replaces it."""

from fastapi import APIRouter

from ..errors import RequestError

READ, WRITE = ["GET", "HEAD"], ["POST", "PUT", "DELETE", "PATCH"]
CLOSED = [
    ("/model/{name}", READ + WRITE, "Models are managed with 'python -m label_app models', not over the network."),
    ("/logs/{rest:path}", READ, "Logs are read on the server."),
    ("/reload", READ + WRITE, "The server is restarted by its administrator."),
    ("/datastore/dataset", READ, "The data set is copied on the server."),
    ("/datastore/", ["DELETE"], "Cases are removed on the server."),
    ("/datastore/image", ["DELETE"], "Cases are removed on the server."),
    ("/datastore/label", ["DELETE"], "Labels are not deleted; submit a corrected one, the history is kept."),
    ("/datastore/image/info", WRITE, "What is known of a case is written by the server alone."),
    ("/datastore/label/info", WRITE, "What is known of a label is written by the server alone."),
    ("/datastore/updatelabelinfo", WRITE, "What is known of a label is written by the server alone."),
    ("/infer/wsi/{rest:path}", WRITE, "There are no microscope slides here."),
]


def create_router() -> APIRouter:
    """Routes that answer 403 with a reason."""
    router = APIRouter()
    for path, methods, reason in CLOSED:
        router.add_api_route(path, _refuse(reason), methods=methods, include_in_schema=False)
    return router


def _refuse(reason: str):
    async def refuse():
        raise RequestError(reason, 403)

    return refuse
