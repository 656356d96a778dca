"""Slicer module: the PET of the current case beside its CT, and what else the module MONAI Label lacks.

Use it together with the module MONAI Label, which loads the CT; load the CT first, since that module counts clicks in
the voxels of the first volume of the scene.
"""

import shutil
import tempfile
import traceback
from pathlib import Path

import ctk
import qt
import slicer
from IGTVPetLib.client import IgtvClient, lend_token
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleWidget,
)

SUV_WINDOW = (0.0, 10.0)
PET_OPACITY = 0.4
DEFAULT_SERVER = "http://127.0.0.1:8000"


class IGTVPet(ScriptedLoadableModule):
    """What Slicer lists."""

    def __init__(self, parent):
        super().__init__(parent)
        parent.title = "IGTV PET"
        parent.categories = ["Active Learning"]
        parent.dependencies = []
        parent.contributors = ["The maintainers of this repository"]
        parent.helpText = "Loads the PET of the case that MONAI Label's module has on the screen. See docs/Slicer.md."


class IGTVPetWidget(ScriptedLoadableModuleWidget):
    """The panel."""

    def setup(self):
        super().setup()
        self.logic = IGTVPetLogic()
        box = ctk.ctkCollapsibleButton()
        box.text = "Case"
        self.layout.addWidget(box)
        form = qt.QFormLayout(box)
        self.server = qt.QLineEdit(slicer.util.settingsValue("MONAILabel/serverUrl", "") or DEFAULT_SERVER)
        self.case = qt.QLineEdit()
        self.case.placeholderText = "the case in MONAI Label's module"
        self.user, self.password = qt.QLineEdit(), qt.QLineEdit()
        self.password.echoMode = qt.QLineEdit.Password
        self.user.placeholderText = "empty where the server asks for none"
        for name, field in (
            ("Server", self.server), ("Case", self.case), ("User", self.user), ("Password", self.password),
        ):  # fmt: skip
            form.addRow(name, field)
        login = qt.QPushButton("Log in")
        login.connect("clicked()", lambda: self.run(self.logic.log_in, of_case=False))
        form.addRow(login)
        for text, work in (
            ("Load PET", self.logic.load_pet),
            ("Show uncertainty", self.logic.load_uncertainty),
            ("Segment CT and PET of this scene", self.logic.segment_scene),
            ("Submit: no tumour", self.confirm_no_tumour),
        ):
            button = qt.QPushButton(text)
            button.connect("clicked()", lambda work=work: self.run(work))
            form.addRow(button)
        self.layout.addStretch(1)

    def run(self, work, of_case=True):
        """Do something, mostly for the case on the screen; what goes wrong is shown."""
        try:
            qt.QApplication.setOverrideCursor(qt.Qt.WaitCursor)
            client = IgtvClient(self.server.text, client_id=slicer.util.settingsValue("MONAILabel/clientId", ""))
            if self.user.text:
                lend_token(client.url, client.login(self.user.text, self.password.text))
            work(client, *([self.case.text.strip() or current_case()] if of_case else []))
        except Exception as error:
            slicer.util.errorDisplay(str(error), detailedText=traceback.format_exc())
        finally:
            qt.QApplication.restoreOverrideCursor()

    def confirm_no_tumour(self, client, case):
        """Ask before a label goes out."""
        if slicer.util.confirmYesNoDisplay(f"Submit that {case} has no tumour?"):
            self.logic.submit_no_tumour(client, case)


class IGTVPetLogic(ScriptedLoadableModuleLogic):
    """The work behind the buttons."""

    def log_in(self, client):
        """For MONAI Label's module, which loads images without the token; the token was lent before."""
        if not client.token:
            raise ValueError("Fill in user and password first; without accounts nobody needs to log in.")

    def load_pet(self, client, case):
        """PET in SUV over the CT, hot colours, window 0 to 10."""
        with _Folder() as folder:
            pet = slicer.util.loadVolume(str(client.load_pet(case, folder)), {"name": f"{case} PET (SUVbw)"})
        self.show_over_ct(pet, "vtkMRMLPETProceduralColorNodePET-Heat", "vtkMRMLColorTableNodeFileHotToColdRainbow.txt")

    def load_uncertainty(self, client, case):
        """Entropy in bits over the CT: where to look."""
        with _Folder() as folder:
            volume = slicer.util.loadVolume(str(client.load_map(case, folder)), {"name": f"{case} uncertainty (bit)"})
        self.show_over_ct(volume, "vtkMRMLColorTableNodeRainbow", "vtkMRMLColorTableNodeRainbow", (0.0, 1.0))

    def segment_scene(self, client, case):
        """Send CT and PET of the scene, for inference only, and load the proposal as a segmentation."""
        volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        pets = [node for node in volumes if "pet" in node.GetName().lower()]
        cts = [node for node in volumes if node not in pets and not node.IsA("vtkMRMLLabelMapVolumeNode")]
        if len(pets) != 1 or len(cts) != 1:
            raise ValueError("The scene needs one CT and one PET in SUV whose name has 'PET' in it.")
        with _Folder() as folder:
            paths = [str(Path(folder) / name) for name in ("ct.nii.gz", "pet.nii.gz")]
            for node, path in zip((cts[0], pets[0]), paths, strict=True):
                export(node, path)
            mask = client.segment_session(client.open_session(*paths), folder)
            slicer.util.loadSegmentation(str(mask), {"name": "IGTV proposal"})

    def submit_no_tumour(self, client, case):
        """An empty mask on the CT's grid, said to be meant so."""
        ct = first_volume()
        mask = slicer.modules.volumes.logic().CreateAndAddLabelVolume(slicer.mrmlScene, ct, "no tumour")
        try:
            with _Folder() as folder:
                path = str(Path(folder) / "label.nii.gz")
                export(mask, path)
                client.submit_no_tumour(case, path)
        finally:
            slicer.mrmlScene.RemoveNode(mask)
        slicer.util.infoDisplay(f"{case}: no tumour, submitted.")

    def show_over_ct(self, volume, colours, other_colours, window=SUV_WINDOW):
        """Put a volume into the foreground of all slice views."""
        ct = first_volume()
        display = volume.GetDisplayNode()
        node = slicer.mrmlScene.GetNodeByID(colours) or slicer.mrmlScene.GetNodeByID(other_colours)
        if node is not None:
            display.SetAndObserveColorNodeID(node.GetID())
        display.AutoWindowLevelOff()
        display.SetWindowLevelMinMax(*window)
        slicer.util.setSliceViewerLayers(background=ct, foreground=volume, foregroundOpacity=PET_OPACITY)


def export(node, path):
    """Write a volume into a file, where its transforms put it, and leave the node as it is.

    Args:
        node: a volume of the scene.
        path: file that is only sent; the scene must not refer to it, since it goes afterwards.

    Raises:
        ValueError: the volume lies under a transform, which an old Slicer cannot apply.
        OSError: Slicer could not write it.
    """
    if hasattr(slicer.util, "exportNode"):
        # a dict of its own: Slicer's default one remembers the file type of the call before
        written = slicer.util.exportNode(node, path, {}, world=True)
    elif node.GetParentTransformNode() is not None:
        raise ValueError(f"{node.GetName()} lies under a transform: harden it, or use a newer Slicer.")
    else:
        written = _save_and_put_back(node, path)
    if not written or not Path(path).is_file():
        raise OSError(f"Slicer could not write {node.GetName()} into {path}: is the disk full? Its log says more.")


def _save_and_put_back(node, path):
    """`saveNode` of a Slicer without `exportNode`; the scene goes on to refer to the file it referred to."""
    storage = node.GetStorageNode()
    name = storage.GetFileName() if storage is not None else None
    try:
        return slicer.util.saveNode(node, path)
    finally:
        if storage is not None:
            storage.SetFileName(name)
        elif node.GetStorageNode() is not None:
            slicer.mrmlScene.RemoveNode(node.GetStorageNode())
        node.StorableModified()  # it was not saved: Slicer is to ask for it when the scene is closed


def first_volume():
    """The volume in whose voxels MONAI Label's module counts clicks."""
    node = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
    if node is None:
        raise ValueError("There is no volume in the scene: press Next Sample in the module MONAI Label first.")
    return node


def current_case():
    """Id of the case that MONAI Label's module has on the screen, else the name of the first volume."""
    widget = getattr(slicer.modules, "MONAILabelWidget", None)
    sample = getattr(widget, "current_sample", None) or {}
    return sample.get("id") or first_volume().GetName()


class _Folder:
    """A temporary folder of Slicer's own kind, gone afterwards."""

    def __enter__(self):
        self.path = tempfile.mkdtemp(dir=slicer.app.temporaryPath)
        return self.path

    def __exit__(self, *error):
        shutil.rmtree(self.path, ignore_errors=True)
