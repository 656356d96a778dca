"""The PACS over DICOMweb: search, headers, retrieval, storage; every request ends, whatever the PACS does."""

import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import requests
import urllib3
from igtv.files import TEMPORARY_PREFIX
from monailabel.config import settings
from monailabel.datastore.dicom import DICOMwebClientX
from pydicom.dataset import Dataset

from .pacs_access import PacsAccess, pacs_access

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 5
# without a byte; and until the last one, however slowly they come
ANSWER_SECONDS, WHOLE_ANSWER_SECONDS = 120, 900
CHUNK_BYTES = 2**20
PAGE = 1000


class PacsError(ValueError):
    """The PACS did not do what was asked; the text says what, as anybody may read it.

    Attributes:
        reason: why, for the person who started the server.
    """

    http_status = 502

    def __init__(self, text: str, reason: str = ""):
        super().__init__(text)
        self.reason = reason


class PacsSlow(PacsError):
    """The PACS is at it still; who asks again later finds what has come meanwhile."""

    http_status = 503
    headers = {"Retry-After": "30"}


class Pacs:
    """A PACS with DICOMweb.

    Args:
        address: such as `http://127.0.0.1:8042/dicom-web`.
        access: user, password, certificate; None: those of the environment.
    """

    def __init__(self, address: str, access: PacsAccess | None = None):
        self._access = access or pacs_access(address)
        session = self._access.session()
        for scheme in ("http://", "https://"):
            session.mount(scheme, _Patient())
        self.address = address.rstrip("/")
        self._client = DICOMwebClientX(
            url=self.address,
            session=session,
            qido_url_prefix=settings.MONAI_LABEL_QIDO_PREFIX,
            wado_url_prefix=settings.MONAI_LABEL_WADO_PREFIX,
            stow_url_prefix=settings.MONAI_LABEL_STOW_PREFIX,
        )
        # its own repeats, seconds apart, would keep an annotator waiting for a PACS that is down
        self._client.set_http_retry_params(retry=False)

    def find_series(self, filters: Mapping[str, str], fields: Sequence[str] = ()) -> list[Dataset]:
        """Series that fit.

        Raises:
            PacsError: it does not answer, or not so.
        """
        found: list[Dataset] = []
        known: set[str | None] = {None}
        while True:
            options = {"search_filters": dict(filters), "fields": list(fields), "limit": PAGE, "offset": len(found)}
            page = self._ask("search", self._client.search_for_series, **options)
            new = [one for one in map(_dataset, page) if one.get("SeriesInstanceUID") not in known]
            known |= {one.SeriesInstanceUID for one in new}
            found += new
            # some archives take no notice of limit and offset: nothing new is the end
            if len(page) < PAGE or not new:
                return found

    def headers(self, study_uid: str, series_uid: str) -> list[Dataset]:
        """Headers of all objects of a series, without pixels."""
        answer = self._ask("metadata", self._client.retrieve_series_metadata, study_uid, series_uid)
        return [_dataset(one) for one in answer]

    def download(self, study_uid: str, series_uid: str, folder: Path) -> Path:
        """All objects of a series as files in a folder, which appears once it is whole.

        Returns:
            `folder`.
        """
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=folder.parent))
        try:
            objects = self._ask("retrieve", self._client.retrieve_series, study_uid, series_uid)
            if not objects:
                raise PacsError(f"the PACS has no objects of series {series_uid}")
            for number, one in enumerate(objects):
                one.save_as(temporary / f"{number:06d}.dcm", write_like_original=False)
            if folder.exists():
                shutil.rmtree(folder)
            temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return folder

    def store(self, objects: Sequence[Dataset]) -> None:
        """Store objects.

        Raises:
            PacsError: it refused one.
        """
        answer = self._ask("store", self._client.store_instances, list(objects))
        failed = answer.get("FailedSOPSequence")
        if failed:
            reasons = ", ".join(str(item.get("FailureReason", "no reason")) for item in failed)
            raise PacsError(f"the PACS refused {len(failed)} of {len(objects)} objects (reason {reasons})")

    def _ask(self, what: str, request: Callable, *arguments, **options):
        try:
            return request(*arguments, **options)
        except (requests.RequestException, OSError) as error:
            reason = self._access.explain(error)
            logger.warning("PACS: %s: %s", what, f"{reason} ({error})" if reason else error)
            told = self._access.tell(error) or type(error).__name__
            raise PacsError(f"the PACS does not answer a {what} ({told})", reason) from error
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            logger.warning("PACS: %s: %s", what, error, exc_info=True)
            raise PacsError(
                f"the PACS answers a {what} in a way that is not DICOMweb ({type(error).__name__})"
            ) from error


class _Patient(requests.adapters.HTTPAdapter):
    """Waits for a while, not for ever: neither for the next byte of an answer nor for its last one."""

    def send(self, request, **options):
        options["timeout"] = options.get("timeout") or (CONNECT_SECONDS, ANSWER_SECONDS)
        until = time.monotonic() + WHOLE_ANSWER_SECONDS
        response = super().send(request, **{**options, "stream": True})
        content = bytearray()
        try:
            while part := response.raw.read1(CHUNK_BYTES, decode_content=True):
                content += part
                if time.monotonic() > until:
                    raise requests.Timeout(f"the answer was not whole after {WHOLE_ANSWER_SECONDS} s", request=request)
        except urllib3.exceptions.HTTPError as error:
            raise requests.ConnectionError(error, request=request) from error
        finally:
            response.close()
        response._content, response._content_consumed = bytes(content), True
        return response


def _dataset(content: Mapping) -> Dataset:
    # pixels and other bulk data stay where they are
    return Dataset.from_json(dict(content), bulk_data_uri_handler=lambda *_: None)
