"""The app MONAI Label looks for: annotation of lung tumours on PET/CT that makes the model better.

The parts are in `lib`, one folder per task; this file only ties them together. State that must exist once (models,
turns at the network, training) hangs on the app: MONAI Label may load `lib` again, the app it makes once.
"""

from lib.activelearning.methods import create_scoring_methods, create_strategies
from lib.infer.tasks import create_infers, warm_up
from lib.learning.models import open_models
from lib.learning.tasks import create_trainers
from lib.options import AppOptions
from lib.paths import BUNDLE_DIR, data_folders
from lib.server.inference import run_inference
from lib.server.network_queue import NetworkQueue
from lib.server.takeover import take_over
from lib.studies.open_datastore import open_datastore
from monailabel.config import settings
from monailabel.interfaces.app import MONAILabelApp


class IgtvApp(MONAILabelApp):
    """IGTV and GTV of lung tumours on PET/CT.

    Attributes:
        options: what the user set (`lib.options.AppOptions`).
        folders: where the app writes (`lib.paths.DataFolders`).
        bundle_dir: folder of the MONAI bundle.
        network: turns at the network; take one with `with app.network.turn():` round everything that computes.
        models: registries of model versions, `{"gtv": ModelRegistry, "igtv": ModelRegistry}`.
        learning: training from new labels, made with the trainers: `start`, `status`, `running`, `stop`, `close`.
    """

    def __init__(self, app_dir, studies, conf):
        self.options = AppOptions.from_conf(conf)
        self.folders = data_folders(studies, self.options.data_path).make()
        self.bundle_dir = BUNDLE_DIR
        self.network = NetworkQueue(self.options.max_waiting, self.options.wait_seconds)
        self.models = open_models(self)
        self.learning = None
        self.configure_monailabel()
        super().__init__(
            app_dir,
            studies,
            dict(conf or {}),
            name="IGTV on PET/CT",
            description="Proposes lung tumour volumes over the breathing cycle on PET/CT and learns from corrections",
            version="0.4.2",
        )

    def configure_monailabel(self):
        """Settings of MONAI Label without which it would write elsewhere or start work nobody asked for."""
        settings.MONAI_LABEL_SESSION_PATH = str(self.folders.sessions)
        settings.MONAI_LABEL_AUTO_UPDATE_SCORING = False
        settings.MONAI_LABEL_TRACKING_ENABLED = False
        settings.MONAI_LABEL_INFER_CONCURRENCY = -1

    def init_datastore(self):
        return open_datastore(self)

    def init_infers(self):
        return create_infers(self)

    def init_trainers(self):
        return create_trainers(self)

    def init_strategies(self):
        return create_strategies(self)

    def init_scoring_methods(self):
        return create_scoring_methods(self)

    def infers(self):
        """Models that propose or correct, by name."""
        return self._infers

    def trainers(self):
        """Models that learn, by name."""
        return self._trainers

    def strategies(self):
        """Ways to choose the next case, by name."""
        return self._strategies

    def scoring_methods(self):
        """Scores of cases, by name."""
        return self._scoring_methods

    def warm_up(self):
        """Load the models and run the network once."""
        warm_up(self)

    def infer(self, request, datastore=None):
        """Inference on cases by their id, never by a path."""
        return run_inference(self, request, datastore)

    def on_init_complete(self):
        """A server is about to answer: with our checks, also where MONAI Label's own command started it."""
        super().on_init_complete()
        take_over(self)
