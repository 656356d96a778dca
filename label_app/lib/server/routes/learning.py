"""Next case, training, scores, and models run over many cases."""

import logging
import time
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request
from igtv.files import file_sha256

from ...paths import is_remote
from .. import identifiers, parameters
from ..access import is_loopback
from ..background import BackgroundWork
from ..errors import RequestError, answer
from .infer import remove

logger = logging.getLogger(__name__)
Params = Annotated[dict | None, Body()]
BATCH = {
    **parameters.COMMON,
    "save_label": parameters.boolean,
    "label_tag": parameters.one_of("original"),
    "max_batch_size": parameters.number(0, 1e6, int),
    # MONAI Label's client sends these by default; one case is computed at a time, on the server's device, whatever
    # they say
    "device": parameters.device,
    "multi_gpu": parameters.boolean,
    "gpus": parameters.text,
    "max_workers": parameters.number(0, 64, int),
}


def create_router(app: Any) -> APIRouter:
    """Routes of `/activelearning/`, `/train/`, `/scoring/`, `/batch/infer`.

    Args:
        app: the app.
    """
    router = APIRouter()
    router.include_router(next_sample_routes(app))
    router.include_router(train_routes(app))
    router.include_router(scoring_routes(app, BackgroundWork("scoring")))
    router.include_router(batch_routes(app, BackgroundWork("batch_infer")))
    return router


def next_sample_routes(app: Any) -> APIRouter:
    """Which case to annotate next."""
    router = APIRouter(prefix="/activelearning", tags=["ActiveLearning"])

    @router.post("/{strategy}")
    def next_sample(request: Request, strategy: str, params: Params = None) -> dict:
        task = app.strategies()[identifiers.known(strategy, app.strategies(), "strategy")]
        given = parameters.checked(parameters.plain_object(params), parameters.COMMON, task)
        user = request.state.user
        datastore = app.datastore()
        result = task({**given, "strategy": strategy, "user": user}, datastore)
        if not result or not result.get("id"):
            return {}
        case = identifiers.image_id(result["id"])
        served = {strategy: {"ts": int(time.time()), "client_id": given.get("client_id") or user, "user": user}}
        try:
            info = datastore.get_image_info(case)
            datastore.update_image_info(case, {"strategy": {**info.get("strategy", {}), **served}})
            result = {**result, **datastore.get_image_info(case)}
        except OSError:
            logger.warning("could not note that case %s was given to %s", case, user, exc_info=True)
        result.pop("path", None)
        if is_remote(app.studies):
            return {**result, "name": f"{case}.nii.gz"}
        path = datastore.get_image_uri(case)
        if is_loopback(request.client.host if request.client else ""):
            # a viewer on the same computer opens the file; others, and those of a PACS, ask for it
            return {**result, "path": path}
        # Slicer reads a download by the ending of its name, and one that it has kept only while the checksum fits
        return {**result, "name": f"{case}.nii.gz", "checksum": f"SHA256:{file_sha256(Path(path))}"}

    return router


def train_routes(app: Any) -> APIRouter:
    """Fine-tuning from the labels."""
    router = APIRouter(prefix="/train", tags=["Train"])

    def start(model: str, params: dict, enqueue: bool, user: str) -> dict:
        task = app.trainers()[identifiers.known(model, app.trainers(), "trainer")]
        given = parameters.checked(params, {**parameters.TRAIN, "model": parameters.one_of(model)}, task)
        return app.learning.start(model, {**given, "user": user}, enqueue)

    @router.get("/")
    def status(all: bool = False, check_if_running: bool = False) -> Any:
        """The training that runs, or the last one."""
        found = app.learning.running() if check_if_running else app.learning.status(all)
        if not found:
            raise RequestError("No training is running." if check_if_running else "There was no training yet.", 404)
        return found

    @router.post("/")
    def start_all(request: Request, params: Params = None) -> dict:
        """As OHIF starts training: parameters by model."""
        given = parameters.plain_object(params)
        result = {}
        for model in app.trainers():
            own = given.get(model) if isinstance(given.get(model), dict) else {}
            result[model] = {"result": start(model, own, True, request.state.user), "detail": None}
        return result

    @router.post("/{model}")
    def start_one(request: Request, model: str, params: Params = None, enqueue: bool = False) -> dict:
        """As 3D Slicer starts training."""
        return start(model, parameters.plain_object(params), enqueue, request.state.user)

    @router.delete("/")
    def stop() -> Any:
        """Stop training; the model in use stays."""
        return app.learning.stop()

    return router


def add_status_route(router: APIRouter, path: str, work: BackgroundWork, name: str) -> None:
    """How a work in the background stands; 404 where there is none, and none was."""

    @router.get(path)
    def status(all: bool = False, check_if_running: bool = False) -> Any:
        found = work.status(all, check_if_running)
        if not found:
            raise RequestError(f"No {name} is running or was run.", 404)
        return found


def scoring_routes(app: Any, work: BackgroundWork) -> APIRouter:
    """Scores that strategies use."""
    router = APIRouter(prefix="/scoring", tags=["Scoring"])

    def start(method: str, params: dict, enqueue: bool) -> dict:
        task = app.scoring_methods()[identifiers.known(method, app.scoring_methods(), "scoring method")]
        request = {**parameters.checked(params, parameters.COMMON, task), "method": method}
        return work.start(request, lambda say: task(request, app.datastore(), say), enqueue)

    add_status_route(router, "/", work, "scoring")

    @router.post("/")
    def start_all(params: Params = None) -> dict:
        given = parameters.plain_object(params)
        return {method: {"result": start(method, given, True), "detail": None} for method in app.scoring_methods()}

    @router.post("/{method}")
    def start_one(method: str, params: Params = None) -> dict:
        return start(method, parameters.plain_object(params), False)

    @router.delete("/")
    def stop() -> Any:
        return work.stop()

    return router


def batch_routes(app: Any, work: BackgroundWork) -> APIRouter:
    """A model over all cases, one after the other."""
    router = APIRouter(prefix="/batch/infer", tags=["Infer"])

    def run(say, model: str, images: str, given: dict, user: str) -> dict:
        datastore = app.datastore()
        choose = {"labeled": datastore.get_labeled_images, "unlabeled": datastore.get_unlabeled_images}
        cases = sorted(choose.get(images, datastore.list_images)())
        cases = cases[: given.get("max_batch_size") or None]
        failed = []
        request = {**{k: given[k] for k in ("logging",) if k in given}, "user": user}
        for number, case in enumerate(cases, 1):
            outcome = ""
            try:
                if not datastore.is_here(case):
                    datastore.case(case)  # from the PACS, before others are kept from the network
                # nobody waits for it, so it may stand in line for as long as it takes
                with app.network.turn(wait_seconds=3600, line_may_be_full=True):
                    result = app.infer({**request, "model": model, "image": case})
                remove(result.get("file"))
            except Exception as error:  # one bad case must not keep the others from their masks
                failed.append(case)
                outcome = f" failed: {answer(error)[1]}"
            say(f"{number} of {len(cases)}: {case}{outcome}")
        if failed:
            raise RequestError(f"{len(failed)} of {len(cases)} cases failed: {', '.join(failed[:20])}")
        return {"cases": len(cases)}

    add_status_route(router, "", work, "batch inference")

    @router.post("/{model}")
    def start(request: Request, model: str, images: str = "all", params: Params = None) -> dict:
        identifiers.known(model, app.infers(), "model")
        identifiers.known(images, ("all", "labeled", "unlabeled"), "choice of images")
        given = parameters.checked(parameters.plain_object(params), BATCH)
        user = request.state.user
        return work.start({"model": model, "images": images}, lambda say: run(say, model, images, given, user))

    @router.delete("")
    def stop() -> Any:
        return work.stop()

    return router
