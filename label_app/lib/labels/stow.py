"""DICOM SEG and RTSTRUCT that a viewer stores (STOW-RS): taken as labels, checked like any other, or refused.

What arrives is not passed on: the PACS gets the SEG and RTSTRUCT of the label that was accepted.
"""

import tempfile
from email.message import Message
from pathlib import Path
from typing import Any

from fastapi.responses import JSONResponse
from igtv.files import file_sha256
from pydicom.dataset import Dataset

from .dicom_labels import label_on_ct
from .errors import LabelRefused
from .grids import read_grid
from .pacs_labels import submitted_object

MOST_OBJECTS = 8
DICOM_TYPE = "application/dicom"


def receive_stow(app: Any, content_type: str, body: bytes, user: str, client: str) -> JSONResponse:
    """Take in the objects of a store request.

    Args:
        app: with its datastore and folders.
        content_type: of the request, with the boundary.
        body: of the request.
        user: who was logged in.
        client: what the client calls itself.

    Returns:
        DICOM JSON as PS3.18 10.5.3 says.

    Raises:
        LabelRefused: the first thing wrong; objects before it are stored.
    """
    parts = split_multipart(content_type, body)
    if not 0 < len(parts) <= MOST_OBJECTS:
        raise LabelRefused(f"{len(parts)} objects were sent; 1 to {MOST_OBJECTS} are taken at once")
    stored = []
    for part in parts:
        with tempfile.TemporaryDirectory(dir=app.folders.temporary) as folder:
            path = Path(folder) / "object.dcm"
            path.write_bytes(part)
            stored.append(receive_object(app.datastore(), path, user, client))
    answer = Dataset()
    answer.ReferencedSOPSequence = stored
    return JSONResponse(answer.to_json_dict(), media_type="application/dicom+json")


def receive_object(datastore: Any, path: Path, user: str, client: str) -> Dataset:
    """Take one SEG or RTSTRUCT as the label of the case it was drawn on.

    Returns:
        Its item of the answer's Referenced SOP Sequence.

    Raises:
        LabelRefused: it is no label; the audit trail has the reason too.
    """
    label, header = submitted_object(path, datastore.label_names)
    case = next((uid for uid in label.series_uids if datastore.has_case(uid)), "")
    who = {"user": user or "not logged in", "client": client, "received_sha256": file_sha256(path)}
    try:
        if label.reason:
            raise LabelRefused(label.reason)
        if not case:
            raise LabelRefused("it was not drawn on a CT of this archive")
        checked = label_on_ct(path, label, read_grid(datastore.label_grid_path(case)))
    except LabelRefused as refusal:
        event = {"event": "label", "outcome": "refused", "case": case, "reason": str(refusal)}
        datastore.labels.note({**event, **who})
        raise
    datastore.accept(case, checked, {**who, "source_object_uid": str(header.SOPInstanceUID)})
    item = Dataset()
    item.ReferencedSOPClassUID = str(header.SOPClassUID)
    item.ReferencedSOPInstanceUID = str(header.SOPInstanceUID)
    return item


def split_multipart(content_type: str, body: bytes) -> list[bytes]:
    """The parts of a multipart/related body, byte by byte as they were sent.

    Raises:
        LabelRefused: it is none, or a part is no DICOM.
    """
    message = Message()
    message["content-type"] = content_type
    boundary = message.get_param("boundary", "")
    if message.get_content_type() != "multipart/related" or not boundary or len(boundary) > 200:
        raise LabelRefused("objects are sent as multipart/related with a boundary")
    mark = b"--" + boundary.encode("latin-1", "replace")
    pieces = (b"\r\n" + body).split(b"\r\n" + mark)
    if len(pieces) < 3 or not pieces[-1].startswith(b"--"):
        raise LabelRefused("the multipart body is cut off")
    return [_content(piece) for piece in pieces[1:-1]]


def _content(piece: bytes) -> bytes:
    head, gap, content = piece.partition(b"\r\n\r\n")
    if not gap:
        raise LabelRefused("a part of the multipart body has no end of its header")
    lines = [line.split(b":", 1) for line in head.split(b"\r\n") if b":" in line]
    kinds = [value.strip().lower() for name, value in lines if name.strip().lower() == b"content-type"]
    if kinds and not kinds[0].startswith(DICOM_TYPE.encode()):
        raise LabelRefused(f"a part is {kinds[0][:60].decode('latin-1')}, {DICOM_TYPE} is expected")
    return content
