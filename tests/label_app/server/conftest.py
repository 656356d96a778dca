"""The whole server over a small made-up app: every layer and route as it is, only the tasks compute nothing."""

import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
from lib.options import AppOptions
from lib.paths import DataFolders
from lib.server.access_options import AccessOptions
from lib.server.accounts import Accounts, hash_password
from lib.server.application import create_application
from lib.server.errors import RequestError
from lib.server.inference import run_inference
from lib.server.network_queue import NetworkQueue
from lib.studies.errors import PetMissing
from lib.studies.paired_datastore import PairedDatastore
from monailabel.utils.sessions import Sessions
from starlette.testclient import TestClient

from ..waiting import wait_for

NAME, PASSWORD = "anna", "correct horse battery"
LOCAL, ELSEWHERE = ("127.0.0.1", 50000), ("192.0.2.7", 50000)


def ended(client: TestClient, address: str) -> dict:
    """Record of the last task in the background, once it has ended."""
    wait_for(lambda: client.get(f"{address}?all=true").json()[-1].get("end_ts"), what="the end of the task")
    return client.get(address).json()


class MadeUpTask:
    """Answers with a mask of zeros; `hold` keeps it computing, `failures` are raised for their cases."""

    description = "made up"

    def __init__(self, folder: Path, network: NetworkQueue):
        self.folder, self.network = folder, network
        self.requests: list[dict] = []
        self.started, self.hold = threading.Event(), threading.Event()
        self.hold.set()
        self.together, self.most_together = 0, 0
        self.failures: dict[str, Exception] = {}

    def config(self) -> dict:
        return {"output": ["mask", "probability"], "device": ["cpu"], "threshold": 0.5}

    def __call__(self, request: dict):
        with self.network.turn():
            return self.compute(request)

    def compute(self, request: dict):
        self.requests.append(request)
        self.together += 1
        self.most_together = max(self.most_together, self.together)
        self.started.set()
        try:
            if not self.hold.wait(60):
                raise RuntimeError("held too long")
            if request.get("case_id") in self.failures:
                raise self.failures[request["case_id"]]
            if request.get("label") == "break":
                raise KeyError("a secret path /srv/patients/DOE")
            path = self.folder / f"answer-{len(self.requests)}.nrrd"
            sitk.WriteImage(sitk.Image(4, 4, 4, sitk.sitkUInt8), str(path))
            return str(path), {"label_names": {"igtv": 1}}
        finally:
            self.together -= 1


class MadeUpStore(PairedDatastore):
    """Three cases in a folder; what is submitted is only noted. Everything else is the datastore's own."""

    def __init__(self, folder: Path, data_dir: Path):
        self.folder = folder
        self.saved: list[tuple] = []
        for case in self.case_ids():
            sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 4, 4), np.int16)), str(folder / f"{case}.nii.gz"))
        super().__init__(data_dir)

    def case_ids(self):
        return ["case.c-1", "case_a", "case_b"]

    def ct_path(self, case):
        return self.folder / f"{case}.nii.gz"

    def pet_path(self, image_id):
        raise PetMissing("there is no PET")

    def get_labeled_images(self, label_tag=None, labels=None):
        return self.case_ids()

    def save_label(self, image_id, label_filename, label_tag, label_info):
        file = Path(label_filename)
        self.saved.append((image_id, file.name, file.read_bytes(), label_tag, label_info))
        return image_id


class MadeUpStrategy:
    def config(self):
        return {}

    def __call__(self, request, datastore):
        return {"id": "case_a"}


class MadeUpLearning:
    def __init__(self):
        self.started: list[tuple] = []

    def start(self, model, params, enqueue=False):
        if self.started and not enqueue:
            raise RequestError("A task of training is running already.", 429)
        self.started.append((model, params))
        return {"id": "1", "status": "RUNNING", "request": params, "details": []}

    def running(self):
        return None

    def status(self, every=False):
        return None

    def stop(self):
        return None

    def close(self):
        pass


@pytest.fixture
def made_up_app(tmp_path):
    """What the server needs of `IgtvApp`."""
    folders = DataFolders(tmp_path / "igtv").make()
    studies = tmp_path / "studies"
    studies.mkdir()
    options = AppOptions(max_waiting=2, wait_seconds=5.0, max_upload_mb=1.0)
    network = NetworkQueue(options.max_waiting, options.wait_seconds)
    task, store = MadeUpTask(folders.temporary, network), MadeUpStore(studies, folders.root)
    app = SimpleNamespace(folders=folders, options=options, studies=str(studies), version="0", task=task, store=store)
    app.network = network
    app.models, app.learning = {}, MadeUpLearning()
    app.infers = lambda: {"igtv": task}
    app.trainers = lambda: {
        "igtv": SimpleNamespace(config=lambda: {"max_epochs": 20, "start_from": ["pretrained", "current"]})
    }
    app.strategies = lambda: {"first": MadeUpStrategy()}
    app.scoring_methods = dict
    app.datastore = lambda: store
    app.info = lambda: {"name": "made up", "models": {"igtv": {}}}
    app.infer = lambda request, datastore=None: run_inference(app, request, datastore)
    app.on_save_label = lambda case, label: None
    app.server_mode = lambda mode: None
    app.on_init_complete = lambda: None
    sessions = Sessions(str(folders.sessions))
    app.sessions = lambda: sessions
    return app


@pytest.fixture
def serve(made_up_app):
    """`serve(accounts, origins, client, base_url, tls_proxies)` -> a client of the server."""

    def make(accounts=None, origins=(), client=LOCAL, base_url="http://127.0.0.1:8000", tls_proxies=()) -> TestClient:
        application = create_application(made_up_app, AccessOptions(accounts or Accounts(), origins, tls_proxies))
        return TestClient(application, base_url=base_url, client=client, raise_server_exceptions=False)

    return make


@pytest.fixture(scope="session")
def accounts_hash() -> str:
    return hash_password(PASSWORD)


@pytest.fixture
def accounts(accounts_hash) -> Accounts:
    """One user."""
    return Accounts({NAME: accounts_hash})


@pytest.fixture
def local(serve):
    """Client on the server's own computer, no accounts."""
    return serve()


@pytest.fixture
def leftovers(made_up_app):
    """Names of what requests left in the folder of temporary files."""
    return lambda: [path.name for path in made_up_app.folders.temporary.iterdir()]
