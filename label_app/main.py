"""The app MONAI Label looks for: annotation of lung tumours on PET/CT that makes the model better.

The parts are in `lib`, one folder per task; this file only ties them together. State that must exist once (models,
turns at the network, training) hangs on the app: MONAI Label may load `lib` again, the app it makes once.
"""

import logging

from lib.options import AppOptions
from lib.paths import BUNDLE_DIR, data_folders
from lib.server.network_queue import NetworkQueue
from monailabel.interfaces.app import MONAILabelApp

logger = logging.getLogger(__name__)


class IgtvApp(MONAILabelApp):
    """IGTV and GTV of lung tumours on PET/CT.

    Attributes:
        options: what the user set (`lib.options.AppOptions`).
        folders: where the app writes (`lib.paths.DataFolders`).
        bundle_dir: folder of the MONAI bundle.
        network: turns at the network; take one with `with app.network.turn():` round everything that computes.
        models: `{"gtv": ModelRegistry, "igtv": ModelRegistry}`.
        learning: training from new labels: `start`, `status`, `stop`, `close`.
    """

    def __init__(self, app_dir, studies, conf):
        self.options = AppOptions.from_conf(conf)
        self.folders = data_folders(studies, self.options.data_path).make()
        self.bundle_dir = BUNDLE_DIR
        self.network = NetworkQueue(self.options.max_waiting, self.options.wait_seconds)
        self.models = self.open_models()
        self.learning = None
        super().__init__(
            app_dir,
            studies,
            {**(conf or {})},
            name="IGTV on PET/CT",
            description="Proposes the internal gross tumour volume of lung tumours on PET/CT and learns from corrections",
            version="0.4.0",
        )

    def open_models(self):
        """Registries of the model versions by name."""
        from lib.learning.models import open_models

        return open_models(self)

    def init_datastore(self):
        from lib.studies.open_datastore import open_datastore

        return open_datastore(self)

    def init_infers(self):
        from lib.infer.tasks import create_infers

        return create_infers(self)

    def init_trainers(self):
        from lib.learning.tasks import create_trainers

        return create_trainers(self)

    def init_strategies(self):
        from lib.activelearning.methods import create_strategies

        return create_strategies(self)

    def init_scoring_methods(self):
        from lib.activelearning.methods import create_scoring_methods

        return create_scoring_methods(self)

    def infer(self, request, datastore=None):
        """One inference at a time, whoever asks."""
        with self.network.turn():
            return super().infer(request, datastore)
