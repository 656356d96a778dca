"""The work behind the buttons of the Slicer module, on a stand-in for Slicer: what of the scene is sent, and how."""

import importlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest


class Storage:
    """Which file a node is saved in."""

    def __init__(self, name: str):
        self.name = name

    def GetFileName(self):
        return self.name

    def SetFileName(self, name):
        self.name = name


class Volume:
    """A volume of the scene, perhaps under a transform; what it is in a file is a text here."""

    def __init__(self, name: str, file: str | None = None, transform: str = ""):
        self.name, self.transform, self.saved = name, transform, False
        self.storage = Storage(file) if file else None

    def GetName(self):
        return self.name

    def IsA(self, kind):
        return kind == "vtkMRMLScalarVolumeNode"

    def GetParentTransformNode(self):
        return self.transform or None

    def GetStorageNode(self):
        return self.storage

    def StorableModified(self):
        self.saved = False


class Scene:
    """The scene, and the functions of `slicer.util` that write its nodes; `works` is what they return."""

    def __init__(self):
        self.nodes = [Volume("chest", "/data/chest.nrrd"), Volume("PET", "/data/pet.nrrd")]
        self.removed: list = []
        self.works = True
        self.default = {}

    def GetFirstNodeByClass(self, kind):
        return self.nodes[0]

    def RemoveNode(self, node):
        self.removed.append(node)
        for one in self.nodes:
            if one.storage is node:
                one.storage = None

    def export_node(self, node, filename, properties=None, world=False):
        properties = self.default if properties is None else properties
        kind = properties.setdefault("fileFormat", Path(filename).suffix)
        return self._write(f"{node.name} {kind} {node.transform if world else ''}", filename)

    def save_node(self, node, filename):
        node.storage = node.storage or Storage("")
        node.storage.name, node.saved = filename, True
        return self._write(node.name, filename)

    def _write(self, text, filename):
        if self.works:
            Path(filename).write_text(text.strip())
        return self.works


class Client:
    """In place of the server's client: reads what it is given."""

    def __init__(self):
        self.sent: list[str] = []

    def open_session(self, *paths):
        self.sent += [Path(path).read_text() for path in paths]
        return "session"

    def segment_session(self, session, folder):
        return Path(folder) / "mask.nii.gz"

    def submit_no_tumour(self, case, path):
        self.sent.append(f"{case}: {Path(path).read_text()}")


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture(params=["exportNode", "saveNode"])
def has(request) -> str:
    """What the running Slicer writes nodes with."""
    return request.param


@pytest.fixture
def logic(scene, has, label_app_dir, tmp_path, monkeypatch):
    """The module's logic, loaded as Slicer loads it."""
    said = []
    util = SimpleNamespace(
        getNodesByClass=lambda kind: scene.nodes,
        saveNode=scene.save_node,
        loadSegmentation=lambda path, properties: said.append(properties["name"]),
        infoDisplay=said.append,
    )
    if has == "exportNode":
        util.exportNode = scene.export_node

    def label_volume(where, ct, name):
        scene.nodes.append(Volume(name))
        return scene.nodes[-1]

    volumes = SimpleNamespace(logic=lambda: SimpleNamespace(CreateAndAddLabelVolume=label_volume))
    slicer = ModuleType("slicer")
    slicer.__path__ = []
    slicer.util, slicer.mrmlScene, slicer.app = util, scene, SimpleNamespace(temporaryPath=str(tmp_path))
    slicer.modules = SimpleNamespace(volumes=volumes)
    base = ModuleType("slicer.ScriptedLoadableModule")
    for name in ("", "Logic", "Widget"):
        setattr(base, f"ScriptedLoadableModule{name}", type(f"ScriptedLoadableModule{name}", (), {}))
    for module in (slicer, base, ModuleType("qt"), ModuleType("ctk")):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.syspath_prepend(str(label_app_dir / "slicer" / "IGTVPet"))
    made = importlib.import_module("IGTVPet").IGTVPetLogic()
    made.said = said
    yield made
    for name in ("IGTVPet", "IGTVPetLib.client", "IGTVPetLib"):
        sys.modules.pop(name, None)


def test_the_scene_still_refers_to_its_own_files(logic, scene, has, tmp_path):
    """The temporary ones are gone; what was not saved does not count as saved, and no storage node is left over."""
    scene.nodes[1].storage = None  # a PET that another module has made
    client = Client()
    logic.segment_scene(client, "case")
    assert [text.split()[0] for text in client.sent] == ["chest", "PET"]
    assert scene.nodes[0].storage.name == "/data/chest.nrrd" and scene.nodes[1].storage is None
    assert not any(node.saved for node in scene.nodes)
    assert logic.said == ["IGTV proposal"] and not list(tmp_path.iterdir())


def test_volumes_are_sent_where_their_transforms_put_them(logic, scene, has):
    scene.nodes[1].transform = "moved"
    client = Client()
    if has == "exportNode":
        logic.segment_scene(client, "case")
        assert client.sent == ["chest .gz", "PET .gz moved"] and scene.default == {}
    else:
        with pytest.raises(ValueError, match="PET lies under a transform: harden it"):
            logic.segment_scene(client, "case")
        assert client.sent == []


def test_what_slicer_could_not_write_is_not_sent(logic, scene, tmp_path):
    """The functions of `slicer.util` return False and raise nothing."""
    scene.works, client = False, Client()
    for work, name in ((logic.segment_scene, "chest"), (logic.submit_no_tumour, "no tumour")):
        with pytest.raises(OSError, match=f"could not write {name}"):
            work(client, "case")
    assert client.sent == [] and not list(tmp_path.iterdir()) and scene.nodes[0].storage.name == "/data/chest.nrrd"


def test_no_tumour_is_submitted_and_leaves_nothing_in_the_scene(logic, scene, has):
    client = Client()
    logic.submit_no_tumour(client, "case")
    assert client.sent == [f"case: no tumour{' .gz' if has == 'exportNode' else ''}"]
    assert scene.removed[-1] is scene.nodes[2] and scene.nodes[2].storage is None
