"""The MONAI Label app by task; MONAI Label loads this package under the name `lib`, never `label_app.lib`."""
