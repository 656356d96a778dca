"""The MONAI Label app by task; MONAI Label loads this package under the name `lib`, never `label_app.lib`."""

from .paths import add_bundle_to_path

add_bundle_to_path()  # before any of its modules imports `igtv`
