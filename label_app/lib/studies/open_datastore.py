"""The datastore for what the user gave as studies."""

from lib.paths import is_remote

from .dicomweb_datastore import PairedDicomWebDatastore
from .local_datastore import PairedLocalDatastore
from .pacs_access import access_of
from .paired_datastore import PairedDatastore


def open_datastore(app) -> PairedDatastore:
    """The datastore of an app.

    Args:
        app: with `studies` (folder or DICOMweb address), `folders` and `options`.
    """
    if is_remote(app.studies):
        return PairedDicomWebDatastore(app.studies, app.folders.root, access_of(app))
    return PairedLocalDatastore(app.studies, app.folders.root)
