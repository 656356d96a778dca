"""MONAI Label's datastore for CT cases with their PET; where they lie is for the subclasses to know."""

import io
import logging
import zipfile
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import SimpleITK as sitk
from igtv.dicom.mask_grid import resampled
from igtv.files import file_sha256
from igtv.learning.durable import durable_file
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag

from lib.labels.edit_dice import compare
from lib.labels.errors import LabelRefused
from lib.labels.grids import read_grid
from lib.labels.intake import CheckedLabel, check_label_file, check_proposal_file
from lib.labels.label_store import SUFFIX, LabelStore, LabelVersion

from .errors import UnknownImage
from .image_id import PET_SUFFIX, is_image_id
from .info_file import InfoFile
from .proposal_store import Proposal, ProposalStore

logger = logging.getLogger(__name__)

FINAL, PROPOSAL = DefaultLabelTag.FINAL.value, DefaultLabelTag.ORIGINAL.value
LABEL_NAMES = ("igtv",)
# what of a case is asked for: CT and PET, the volume that an image id names, or the grid of its labels
CASE, IMAGE, GRID = "case", "image", "grid"


class PairedDatastore(Datastore):
    """Cases, their labels and what is noted about them.

    An image id names a case by its CT. `<id>__pet`, and in a PACS the id of the PET series, names the same case on the
    grid of the PET.

    Args:
        data_dir: everything written goes below it.
        label_names: names under which a submitted label counts.
    """

    def __init__(self, data_dir: Path, label_names: Sequence[str] = LABEL_NAMES):
        self.data_dir = Path(data_dir)
        self.label_names = tuple(label_names)
        self.labels = LabelStore(self.data_dir / "labels")
        self.infos = InfoFile(self.data_dir / "datastore_v2.json")
        self.proposals = ProposalStore(self.data_dir / "labels" / PROPOSAL, self.infos)
        self.recovered = [*self.labels.recover(), *self.infos.recover()]

    # what a subclass knows

    @abstractmethod
    def case_ids(self) -> list[str]:
        """Ids of all cases, sorted."""

    @abstractmethod
    def ct_path(self, case: str) -> Path:
        """CT in HU, NIfTI.

        Raises:
            UnknownImage: there is no such case.
        """

    @abstractmethod
    def pet_path(self, image_id: str) -> Path:
        """PET in SUVbw (g/ml), NIfTI, of the case that an image id names.

        Raises:
            PetMissing: there is none that can be used; the text says why.
            UnknownImage: there is no such case.
        """

    def label_grid_path(self, case: str) -> Path:
        """The CT whose grid labels lie on; errors as of `ct_path`."""
        return self.ct_path(case)

    def is_here(self, image_id: str, what: str = CASE) -> bool:
        """Whether a case can be read now, without waiting for anybody.

        Args:
            image_id: of the case.
            what: `CASE`, `IMAGE` or `GRID`.

        Raises:
            UnknownImage: there is no such case.
        """
        return True

    def patient_of(self, case: str) -> str:
        """What cases of one patient share."""
        return case

    def cases_without_patient(self) -> list[str]:
        """Cases that count as a patient of their own because nobody told whose they are."""
        return []

    def resolve(self, image_id: str) -> tuple[str, str]:
        """The case that an image id names, and the grid answers are wanted on: "ct" or "pet".

        Raises:
            UnknownImage: there is no such case.
        """
        if is_image_id(image_id):
            if self.has_case(image_id):
                return image_id, "ct"
            case = image_id.removesuffix(PET_SUFFIX)
            if case != image_id and self.has_case(case):
                return case, "pet"
        raise UnknownImage(image_id)

    def has_case(self, case: str) -> bool:
        """Whether there is such a case."""
        return case in self.case_ids()

    def case(self, image_id: str) -> dict[str, str]:
        """What a network needs of a case.

        Returns:
            `case`, `patient_id`, `ct` and `pet` (paths), `grid` ("ct" or "pet", the one answers are wanted on).

        Raises:
            PetMissing, UnknownImage: see `pet_path`.
        """
        case, grid = self.resolve(image_id)
        return {
            "case": case,
            "patient_id": self.patient_of(case),
            "ct": str(self.ct_path(case)),
            "pet": str(self.pet_path(case)),
            "grid": grid,
        }

    # labels

    def submit_label(
        self, image_id: str, path: str | Path, *, user: str, client: str = "", params: Mapping[str, Any] | None = None
    ) -> LabelVersion:
        """Take a label from an annotator.

        Args:
            image_id: of the case.
            path: file as sent.
            user: who was logged in; "" where nobody needs to.
            client: what the client calls itself.
            params: of the client: `label_info`, `no_tumour`, `comment`; `model` names what the label was drawn from,
                as "igtv" or "igtv@3" (its version), "" for nothing. Without it see `_edits`.

        Returns:
            The version, which is on the disk.

        Raises:
            LabelRefused: with the reason, which the audit trail gets too.
            OSError: it could not be stored; nothing has changed then.
        """
        path, params = Path(path), dict(params or {})
        case, _ = self.resolve(image_id)
        who = {"user": user or "not logged in", "client": client}
        if params.get("comment"):
            who["comment"] = str(params["comment"])[:500]
        grid, no_tumour = read_grid(self.label_grid_path(case)), _flag(params.get("no_tumour"))
        with self._noting_refusals("label", case, path, who):
            checked = check_label_file(path, grid, self.label_names, params.get("label_info"), no_tumour)
        told = {"model": self._named_model(case, str(params["model"]))} if params.get("model") is not None else {}
        return self.accept(case, checked, {**who, **told, "received_sha256": file_sha256(path)})

    def submit_proposal(
        self, image_id: str, path: str | Path, *, user: str, client: str = "", params: Mapping[str, Any] | None = None
    ) -> None:
        """Take a proposal from a client: checked as a label is, but never one, so that nothing is trained on it.

        Args and errors are those of `submit_label`; `model` of the params names what made it.
        """
        path, params = Path(path), dict(params or {})
        case, _ = self.resolve(image_id)
        who = {"user": user or "not logged in", "client": client}
        grid = read_grid(self.label_grid_path(case))
        with self._noting_refusals("proposal", case, path, who):
            checked = check_proposal_file(path, grid, self.label_names, params.get("label_info"))
        name, _, version = str(params.get("model") or "unknown").partition("@")
        self.proposals.keep(case, checked.mask, {"model": name, "version": version, **who})
        event = {"event": "proposal", "outcome": "stored", "case": case, "received_sha256": file_sha256(path), **who}
        self.labels.note(event)

    def accept(self, case: str, checked: CheckedLabel, event: Mapping[str, Any]) -> LabelVersion:
        """Store a checked label as the next version of its case."""
        facts = {
            "no_tumour": checked.no_tumour,
            "voxels": checked.voxels,
            "volume_ml": checked.volume_ml,
            "notes": list(checked.notes),
        }
        return self.labels.add(case, checked.mask, {**self._edits(case, checked), **event, **facts})

    def record_proposal(self, image_id: str, path: str | Path, model: str, version: str | int = "") -> None:
        """Keep what a model proposed for a case: viewers load it, and edits are measured against it.

        Args:
            image_id: of the case; of its PET for a proposal on the PET's grid, which is kept beside that on the CT's
                grid, is not loaded by viewers, and lies as a label does that is submitted on the PET's grid.
            path: the mask, on the grid that `image_id` names.
            model: name of the registry, or what a client calls its model.
            version: of the model.

        Raises:
            UnknownImage: there is no such case.
            OSError: it could not be stored; the proposal of before is still there.
        """
        case, grid = self.resolve(image_id)
        mask = sitk.Cast(sitk.ReadImage(str(path)), sitk.sitkUInt8)
        if grid == "pet":
            mask = resampled(mask, read_grid(self.label_grid_path(case)))
        self.proposals.keep(case, mask, {"model": str(model), "version": str(version)}, grid)

    def proposal(self, case: str, grid: str = "ct") -> Proposal | None:
        """The newest proposal for a case, which lies on the CT's grid, and what is known about it.

        Args:
            case: id of the case.
            grid: on which the viewer was given it, "ct" or "pet".
        """
        return self.proposals.find(case, grid)

    def final_labels(self) -> list[dict[str, Any]]:
        """What the learning loop trains on; the files stay as they are whatever is submitted meanwhile.

        Returns:
            Dicts with `image`, `label` (path), `no_tumour`, `version`, `sha256`, `time`, `user`, `patient_id`; of
            cases that are still there.
        """
        cases = set(self.case_ids())
        return [
            {
                "image": case,
                "patient_id": self.patient_of(case),
                "label": str(version.path),
                "no_tumour": version.no_tumour,
                "version": version.number,
                "sha256": version.sha256,
                "time": version.time,
                "user": version.user,
            }
            for case, version in self.labels.all_current().items()
            if case in cases
        ]

    def undecided_labels(self) -> list[str]:
        """Labelled cases that are there, but of which it is not known yet whether they are cases; none in a folder."""
        return []

    def _edits(self, case: str, checked: CheckedLabel) -> dict[str, Any]:
        """What the kept proposal has to do with a label: its model counts as the label's only if it was drawn from it.

        That a proposal is there says nothing: viewers ask for one by themselves, and it may be newer than the label. Of
        one for the CT and one for the PET the one counts that has more of its outline in the label.

        Returns:
            `edit_dice` and `proposed_by` (whose proposal the Dice is with; None without one), `model` (name and
            version of what the label was drawn from; None for a label drawn by hand, as far as one can tell).
        """
        beside = [(compare(path, checked.mask), note) for path, note in self.proposals.of_case(case)]
        if not beside:
            return {"model": None, "edit_dice": None, "proposed_by": None}
        edits, note = max(beside, key=lambda one: (one[0].outline_kept, one[0].dice or 0.0))
        proposed_by = {"name": note.get("model", ""), "version": note.get("version", "")}
        model = proposed_by if edits.drawn_from_it else None
        return {"model": model, "edit_dice": edits.dice, "proposed_by": proposed_by}

    def _named_model(self, case: str, text: str) -> dict[str, str] | None:
        """The model that a client names; of one named without version that of its proposal here, if there is one."""
        name, _, version = text.partition("@")
        if not version:
            notes = [note for _, note in self.proposals.of_case(case) if note.get("model") == name]
            version = str(max(notes, key=lambda note: note.get("ts", 0), default={}).get("version") or "")
        return {"name": name, "version": version} if name else None

    @contextmanager
    def _noting_refusals(self, what: str, case: str, path: Path, who: Mapping[str, str]) -> Iterator[None]:
        try:
            yield
        except LabelRefused as refusal:
            received = file_sha256(path) if path.is_file() else ""
            event = {"event": what, "outcome": "refused", "case": case, "reason": str(refusal)}
            self.labels.note({**event, "received_sha256": received, **who})
            raise

    # MONAI Label's interface

    def name(self) -> str:
        return self.infos.content()["name"] or self.data_dir.parent.name

    def set_name(self, name: str) -> None:
        self.infos.change(lambda content: content.__setitem__("name", str(name)))

    def description(self) -> str:
        return self.infos.content()["description"] or "CT cases with their PET"

    def set_description(self, description: str) -> None:
        self.infos.change(lambda content: content.__setitem__("description", str(description)))

    def list_images(self) -> list[str]:
        return self.case_ids()

    def get_labeled_images(self, label_tag: str | None = None, labels: Sequence[str] | None = None) -> list[str]:
        cases = set(self.case_ids())
        return [case for case in self.labels.all_current() if case in cases]

    def get_unlabeled_images(self, label_tag: str | None = None, labels: Sequence[str] | None = None) -> list[str]:
        labelled = self.labels.all_current()
        return [case for case in self.case_ids() if case not in labelled]

    def get_image_uri(self, image_id: str) -> str:
        case, grid = self.resolve(image_id)
        return str(self.pet_path(case) if grid == "pet" else self.ct_path(case))

    def get_image(self, image_id: str, params: Any = None) -> io.BytesIO:
        return io.BytesIO(Path(self.get_image_uri(image_id)).read_bytes())

    def get_image_info(self, image_id: str) -> dict[str, Any]:
        case, _ = self.resolve(image_id)
        return {**self.infos.entry("images", case), "path": self.get_image_uri(image_id)}

    def update_image_info(self, image_id: str, info: Mapping[str, Any]) -> None:
        case, _ = self.resolve(image_id)
        self.infos.change(lambda content: content["images"].setdefault(case, {}).update(info))

    def get_label_uri(self, label_id: str, label_tag: str) -> str:
        case, _ = self.resolve(label_id)
        if _tag(label_tag) == PROPOSAL:
            path = self.proposals.path(case)
            return str(path) if path.is_file() else ""
        return str(self.labels.final_path(case) or "")

    def get_label(self, label_id: str, label_tag: str, params: Any = None) -> io.BytesIO | None:
        uri = self.get_label_uri(label_id, label_tag)
        return io.BytesIO(Path(uri).read_bytes()) if uri else None

    def get_labels_by_image_id(self, image_id: str) -> dict[str, str]:
        case, _ = self.resolve(image_id)
        return {tag: case for tag in (FINAL, PROPOSAL) if self.get_label_uri(case, tag)}

    def get_label_by_image_id(self, image_id: str, tag: str) -> str:
        return self.get_labels_by_image_id(image_id).get(_tag(tag), "")

    def get_label_info(self, label_id: str, label_tag: str) -> dict[str, Any]:
        case, _ = self.resolve(label_id)
        if _tag(label_tag) == PROPOSAL:
            return self.proposals.note(case)
        version = self.labels.current(case)
        return dict(version.event) if version else {}

    def update_label_info(self, label_id: str, label_tag: str, info: Mapping[str, Any]) -> None:
        case, _ = self.resolve(label_id)
        if _tag(label_tag) == FINAL:
            raise LabelRefused("what is known of a final label is in the audit trail, which cannot be changed")
        self.proposals.add_note(case, info)

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: Mapping[str, Any]) -> str:
        """What a client sends: under the tag "final" a label, under "original" a proposal; nothing learns from that."""
        info = dict(label_info or {})
        client = " ".join(str(info[key]) for key in ("client_id", "client") if info.get(key))
        submit = self.submit_proposal if _tag(label_tag) == PROPOSAL else self.submit_label
        submit(image_id, label_filename, user=str(info.get("user") or ""), client=client, params=info)
        return image_id

    def remove_label(self, label_id: str, label_tag: str) -> None:
        case, _ = self.resolve(label_id)
        if _tag(label_tag) == PROPOSAL:
            self.proposals.remove(case)
        else:
            self.labels.withdraw(case, {"user": "not logged in"})

    def add_image(self, image_id: str, image_filename: str, image_info: Mapping[str, Any]) -> str:
        raise ValueError(
            "images are not uploaded here: a case needs CT and PET; put both into the folder of the studies"
        )

    def remove_image(self, image_id: str) -> None:
        raise ValueError("images are not deleted here: the studies belong to their folder or PACS")

    def datalist(self) -> list[dict[str, Any]]:
        """Labelled cases with their paths, in MONAI Label's words (`image` is the CT)."""
        return [
            {"image": str(self.ct_path(entry["image"])), "label": entry["label"], "case": entry["image"]}
            for entry in self.final_labels()
        ]

    def get_dataset_archive(self, limit_cases: int | None) -> str:
        entries = self.datalist()[: limit_cases or None]
        if not entries:
            raise ValueError("there is no labelled case to put into an archive")
        path = self.data_dir / "temporary" / "dataset.zip"
        with durable_file(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
            for entry in entries:
                for key in ("image", "label"):
                    archive.write(entry[key], f"{key}/{entry['case']}{SUFFIX}")
        return str(path)

    def refresh(self) -> None:
        """Cases are looked for at every request."""

    def status(self) -> dict[str, Any]:
        cases = set(self.case_ids())
        labelled = [case for case in self.labels.all_current() if case in cases]
        proposed = [case for case in cases if self.proposals.path(case).is_file()]
        tags = {FINAL: len(labelled), PROPOSAL: len(proposed)}
        return {
            "total": len(cases),
            "completed": len(labelled),
            "label_tags": {tag: number for tag, number in tags.items() if number},
        }

    def json(self) -> dict[str, Any]:
        """As MONAI Label's own datastore file looks, which clients read."""
        content, current = self.infos.content(), self.labels.all_current()
        objects = {}
        for case in self.case_ids():
            labels = {FINAL: {"ext": SUFFIX, "info": dict(current[case].event)}} if case in current else {}
            if self.proposals.path(case).is_file():
                labels[PROPOSAL] = {"ext": SUFFIX, "info": content["proposals"].get(case, {})}
            objects[case] = {"image": {"ext": SUFFIX, "info": content["images"].get(case, {})}, "labels": labels}
        return {"name": self.name(), "description": self.description(), "objects": objects}


def _tag(tag: object) -> str:
    text = getattr(tag, "value", tag) or FINAL
    if text not in (FINAL, PROPOSAL):
        raise LabelRefused(f"labels have the tag '{FINAL}' or '{PROPOSAL}', not {str(text)[:40]!r}")
    return text


def _flag(value: object) -> bool:
    return value is True or str(value).strip().lower() in ("true", "1", "yes")
