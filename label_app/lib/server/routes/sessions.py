"""Sessions: a CT and its PET that a client brings along for inference; they expire and never become cases."""

from typing import Annotated, Any

from fastapi import APIRouter, File, UploadFile

from .. import identifiers
from ..errors import RequestError
from ..uploads import private_folder, store
from ..volumes import check_volume
from ..workers import Workers

MAX_FILES = 2


def find_session(app: Any, session: str, update_ts: bool = True) -> Any:
    """The session with this id.

    Args:
        app: the app.
        session: its id.
        update_ts: whether this is a use of the session, which lets it live on.

    Raises:
        RequestError: 404 when there is none (any more).
    """
    found = app.sessions().get_session(identifiers.session_id(session), update_ts=update_ts)
    if not found:
        raise RequestError("This session does not exist or has expired.", 404)
    return found


def create_router(app: Any, workers: Workers) -> APIRouter:
    """Routes of `/session/`.

    Args:
        app: the app.
        workers: threads for it.
    """
    router = APIRouter(prefix="/session", tags=["Session"])

    def add(files: list[UploadFile], expiry: int) -> dict:
        if not 1 <= len(files) <= MAX_FILES:
            raise RequestError("A session takes a CT and a PET, as ct.nii.gz and pet.nii.gz.")
        with private_folder(app.folders.temporary) as folder:
            case = folder / "case"
            case.mkdir()
            for file in files:
                stem = str(file.filename or "").lower().split("/")[-1].split(".")[0]
                role = "pet" if stem in ("pet", "pt") else "ct"
                target = case / f"{role}{identifiers.file_ending(file.filename)}"
                if any(case.glob(f"{role}.*")):
                    raise RequestError("Two files for one role: name them ct.nii.gz and pet.nii.gz.")
                check_volume(store(file.file, target))
            session, info = app.sessions().add_session(str(case), max(0, min(expiry, 86400)), False)
        return {"session_id": session, "session_info": info.to_json()}

    @router.put("/")
    async def create(files: Annotated[list[UploadFile], File()], uncompress: bool = False, expiry: int = 0) -> dict:
        """Open a session."""
        if uncompress:
            raise RequestError("Archives are not unpacked here; send ct.nii.gz and pet.nii.gz.")
        return await workers.files(add, files, expiry)

    @router.get("/{session}")
    def get(session: str, update_ts: bool = False, image: bool = False):
        """What a session holds; a use of it only where `update_ts` says so."""
        info = find_session(app, session, update_ts)
        if image:
            raise RequestError("Images of sessions are not given back.", 403)
        return info.to_json()

    @router.delete("/{session}")
    def delete(session: str) -> dict:
        """End a session."""
        info = find_session(app, session)
        app.sessions().remove_session(session)
        return info.to_json()

    return router
