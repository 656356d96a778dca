"""Requests to the IGTV server that MONAI Label's own Slicer module does not make. Standard library only."""

import json
import shutil
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Mapping
from pathlib import Path

PET_ENDING = "__pet"  # the id of a case's PET on the server
TIMEOUT_S = 600
CHUNK_BYTES = 1 << 20


class ServerError(RuntimeError):
    """The server refused, and the text says why."""


class _TokenOfServer(urllib.request.BaseHandler):
    """Adds the token to what any module asks the server for through urllib, and to nothing else.

    MONAI Label's module loads images without one, though it has logged in.
    """

    def __init__(self) -> None:
        self.tokens: dict[tuple[str, str], str] = {}

    def http_request(self, request: urllib.request.Request) -> urllib.request.Request:
        token = self.tokens.get(tuple(urllib.parse.urlsplit(request.full_url)[:2]))
        if token and not request.has_header("Authorization"):
            # unredirected: it does not follow to where another server points
            request.add_unredirected_header("Authorization", f"Bearer {token}")
        return request

    https_request = http_request


_token_of_server = _TokenOfServer()


def lend_token(url: str, token: str) -> None:
    """Let all of Slicer's requests to a server carry a token, MONAI Label's downloads of images too."""
    if not _token_of_server.tokens:
        opener = getattr(urllib.request, "_opener", None) or urllib.request.build_opener()
        opener.add_handler(_token_of_server)
        urllib.request.install_opener(opener)
    _token_of_server.tokens[tuple(urllib.parse.urlsplit(url)[:2])] = token


class IgtvClient:
    """The server, as one annotator.

    Args:
        url: address of the server, such as "http://127.0.0.1:8000".
        token: of `login`; empty where the server asks for none.
        client_id: what the server calls an annotator who does not log in.
    """

    def __init__(self, url: str, token: str = "", client_id: str = "") -> None:
        self.url = url.rstrip("/")
        if not self.url.startswith(("http://", "https://")):
            raise ValueError(f"'{url}' is no address of a server: it starts with http:// or https://")
        self.token = token
        self.client_id = client_id

    def login(self, user: str, password: str) -> str:
        """Log in; the token goes with every further request, and is returned."""
        form = urllib.parse.urlencode({"username": user, "password": password, "grant_type": "password"}).encode()
        answer = self._json("POST", "/auth/token", form, "application/x-www-form-urlencoded")
        self.token = answer.get("access_token") or ""
        return self.token

    def load_pet(self, case: str, folder: str) -> Path:
        """PET of a case in SUVbw (g/ml) as NIfTI in `folder`."""
        name = f"{case.removesuffix(PET_ENDING)}{PET_ENDING}"
        target = Path(folder) / f"{name}.nii.gz"
        return self._download("GET", f"/datastore/image?image={urllib.parse.quote(name)}", None, None, target)

    def load_map(self, case: str, folder: str, output: str = "uncertainty", model: str = "igtv") -> Path:
        """Probability of tumour (0 to 1) or its uncertainty (bits) on the CT of a case, as NIfTI in `folder`."""
        params = {"output": output, "result_extension": ".nii.gz", "result_dtype": "float32"}
        return self._infer(f"image={urllib.parse.quote(case)}", params, Path(folder) / f"{case}_{output}.nii.gz", model)

    def open_session(self, ct: str, pet: str) -> str:
        """Send CT (HU) and PET (SUVbw), which the server has not, for inference only; returns the session's id."""
        files = [("files", "ct.nii.gz", Path(ct)), ("files", "pet.nii.gz", Path(pet))]
        body, kind = multipart({}, files)
        return self._json("PUT", "/session/", body, kind)["session_id"]

    def segment_session(self, session: str, folder: str, model: str = "igtv") -> Path:
        """Proposed mask for the volumes of a session, as NIfTI in `folder`."""
        query = f"image=&session_id={urllib.parse.quote(session)}"
        params = {"output": "mask", "result_extension": ".nii.gz", "result_dtype": "uint8"}
        return self._infer(query, params, Path(folder) / f"session_{model}.nii.gz", model)

    def submit_no_tumour(self, case: str, empty_mask: str) -> dict:
        """Submit that a case has no tumour, with an empty mask on the CT's grid."""
        params = {"no_tumour": True, "label_info": [{"name": "igtv", "idx": 1}], **self._who()}
        body, kind = multipart({"params": json.dumps(params)}, [("label", "label.nii.gz", Path(empty_mask))])
        return self._json("PUT", f"/datastore/label?image={urllib.parse.quote(case)}&tag=final", body, kind)

    def _infer(self, query: str, params: Mapping[str, object], target: Path, model: str) -> Path:
        body, kind = multipart({"params": json.dumps({**params, **self._who()})}, [])
        selector = f"/infer/{urllib.parse.quote(model)}?{query}&output=image"
        return self._download("POST", selector, body, kind, target)

    def _who(self) -> dict:
        return {"client_id": self.client_id} if self.client_id else {}

    def _json(self, method: str, selector: str, body: bytes | None, kind: str | None) -> dict:
        with self._open(method, selector, body, kind) as answer:
            return json.load(answer)

    def _download(self, method: str, selector: str, body: bytes | None, kind: str | None, target: Path) -> Path:
        partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        try:
            with self._open(method, selector, body, kind) as answer, partial.open("wb") as file:
                shutil.copyfileobj(answer, file, CHUNK_BYTES)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
        return target

    def _open(self, method: str, selector: str, body: bytes | None, kind: str | None):
        headers = {"Content-Type": kind} if kind else {}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        request = urllib.request.Request(self.url + selector, data=body, headers=headers, method=method)
        try:
            return urllib.request.urlopen(request, timeout=TIMEOUT_S)
        except urllib.error.HTTPError as error:
            raise ServerError(_reason(error)) from error
        except urllib.error.URLError as error:
            raise ServerError(f"The server at {self.url} does not answer: {error.reason}") from error


def multipart(fields: Mapping[str, str], files: list[tuple[str, str, Path]]) -> tuple[bytes, str]:
    """A form with files as `multipart/form-data`.

    Args:
        fields: texts by name.
        files: (name of the field, file name to send, path).

    Returns:
        Body and content type.
    """
    boundary = uuid.uuid4().hex
    parts = []
    for name, value in fields.items():
        parts += [f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()]
    for name, sent_as, path in files:
        head = f'Content-Disposition: form-data; name="{name}"; filename="{sent_as}"'
        parts += [f"--{boundary}\r\n{head}\r\nContent-Type: application/octet-stream\r\n\r\n".encode()]
        parts += [path.read_bytes(), b"\r\n"]
    parts.append(f"--{boundary}--\r\n".encode())
    return b"".join(parts), f"multipart/form-data; boundary={boundary}"


def _reason(error: urllib.error.HTTPError) -> str:
    """What the server says went wrong."""
    content = error.read().decode(errors="replace")
    try:
        return str(json.loads(content)["detail"])
    except (ValueError, KeyError, TypeError):
        return f"status {error.code}: {content[:300]}"
