"""Writes what was found in a case: mask, maps, picture and manifest, on the grid of the CT the user gave."""

import csv
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from ignite.engine import Engine, Events
from tqdm import tqdm

from ..configuration.words import words
from ..files import file_sha256, replacing
from ..networks.model_card import DISCLAIMER
from .case_evaluator import failure_text
from .case_measures import measure
from .corrections import keep_corrections
from .ct_grid import in_ras_order, on_ct_grid, pet_on_ct_grid, save_on_ct_grid
from .dicom_export import DicomExport
from .lesions import lesion_table
from .manifest import CASE_MANIFEST, MODEL_MASKS, bundle_version, model_entry, run_manifest, write_manifest
from .overlay import save_overlay

OUTPUTS = ("mask", "overlay", "probability", "uncertainty")
MAPS = ("probability", "uncertainty")
OVERLAY_FILE = "overlay.png"
COLUMNS = (
    "case", "volume_ml", "components", "lesions_found", "slices", "inferior_mm", "superior_mm", "suv_max", "suv_mean",
    "seconds",
)  # fmt: skip
MAP_DECIMALS = 4  # steps of 1e-4 tell nothing more, and the files become a third of the size

logger = logging.getLogger(__name__)


class CasesFailed(RuntimeError):
    """Some cases have no result; all others have.

    Attributes:
        failures: case -> reason.
    """

    def __init__(self, text: str, failures: Mapping[str, str]) -> None:
        super().__init__(text)
        self.failures = dict(failures)


class CaseWriter:
    """Handler that writes `<output_dir>/<case>/` after each case and `predictions.json`, `summary.csv` beside them.

    Attach it to a `TolerantEvaluator` (batch size 1, decollated). It reads `pred` (1, X, Y, Z), the label on the CT's
    own grid, where they are there the map of all `lesions` found, and for the maps `probability` and `uncertainty` from
    `engine.state.output`, `case` from `engine.state.batch`. A case that cannot be written or exported is reported, the
    others go on; at the end CasesFailed names all cases that failed, so that the program does not end as if all were
    well.

    Args:
        output_dir: folder of the results; folders of other cases in it stay.
        cases: what is segmented, as `find_cases` gives it; source of CT, PET and the number of cases.
        outputs: any of "mask", "overlay", "probability", "uncertainty", or one of them as it is; mask and manifest are
            always written.
        model_path: checkpoint, for the manifest.
        model_card: its card, for the name in every output.
        config: settings kept in each manifest.
        device: device of the network, for the manifest.
        progress: whether to show a bar with the time left.
        dicom_export: writes RTSTRUCT and SEG beside the mask; a refusal, as of an empty mask, leaves the mask there.
        left_out: case -> reason, of cases that could not even be imported; told with the failed ones.

    Raises:
        ValueError: for an unknown output.
    """

    def __init__(
        self,
        output_dir: str | Path,
        cases: Sequence[Mapping[str, Any]],
        outputs: str | Sequence[str] = ("mask", "overlay"),
        model_path: str | Path | None = None,
        model_card: Mapping[str, Any] | None = None,
        config: Mapping[str, Any] | None = None,
        device: torch.device | str | None = None,
        progress: bool = True,
        dicom_export: DicomExport | None = None,
        left_out: Mapping[str, str] | None = None,
    ) -> None:
        self.outputs = words(outputs)
        unknown = sorted(set(self.outputs) - set(OUTPUTS))
        if unknown:
            raise ValueError(f"outputs names {', '.join(unknown)}; possible are {', '.join(OUTPUTS)}.")
        self.output_dir = Path(output_dir)
        self.sources = {case["case"]: case for case in cases}
        self.model_path = model_path
        self.model_card = dict(model_card or {})
        self.config = config
        self.device = device
        self.progress = progress
        self.dicom_export = dicom_export or DicomExport()
        self.left_out = dict(left_out or {})
        self.rows: list[dict[str, Any]] = []
        self.failures: dict[str, str] = {}
        self._bar: tqdm | None = None
        self._model: dict[str, Any] | None = None
        self._case_started = 0.0

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self._finish)
        engine.add_event_handler(Events.TERMINATE, self._close_bar)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._give_up)

    def _start(self, engine: Engine) -> None:
        self.rows, self.failures = [], dict(self.left_out)
        self._model = model_entry(self.model_path, self.model_card)
        self._case_started = time.perf_counter()
        self._bar = tqdm(
            total=engine.state.epoch_length,
            desc="inferring",
            unit="case",
            dynamic_ncols=True,
            disable=not self.progress,
        )

    def __call__(self, engine: Engine) -> None:
        self.failures.update(getattr(engine, "failures", {}))
        for batch, output in zip(engine.state.batch, engine.state.output, strict=True):
            case = str(batch["case"])
            try:
                self.rows.append(self.write(case, output, self._case_started))
            except Exception as error:
                source = self.sources.get(case, {})
                self.failures[case] = failure_text(error, [source[key] for key in ("ct", "pet") if key in source])
                logger.error("Case %s: result not written, going on with the next. %s", case, self.failures[case])
        self._write_summary()
        self._case_started = time.perf_counter()
        if self._bar is not None:
            self._bar.set_postfix(failed=len(self.failures), refresh=False)
            self._bar.update(1)

    def write(self, case: str, output: Mapping[str, Any], started: float | None = None) -> dict[str, Any]:
        """Write all files of one case; returns its row of the summary.

        A mask of an earlier run that somebody corrected since is kept under another name, see `keep_corrections`.

        Args:
            case: name of the case, one of `cases`.
            output: `pred` and, when there are any, `lesions`, `probability` and `uncertainty`, each (1, X, Y, Z) on the
                CT's grid.
            started: `time.perf_counter()` when work on the case began.

        Raises:
            KeyError: for a case that is not among `cases`, or a volume that is missing.
            ValueError: when a volume is not on the CT's grid, or the mask holds other values than 0 and 1.
        """
        source = self.sources[case]
        ct = nib.load(source["ct"])
        mask = on_ct_grid(output["pred"], ct, case, "pred")
        if not ((mask == 0) | (mask == 1)).all():
            raise ValueError(f"Case {case}: pred holds values other than 0 and 1; threshold it before it is written.")
        wanted = [
            name for name in MAPS if name in self.outputs or name == "probability" and self.dicom_export.fractional
        ]
        maps = {name: on_ct_grid(output[name], ct, case, name) for name in MAPS if name in wanted}
        folder = self.output_dir / case
        keep_corrections(folder)
        # the manifest is written last: a folder with it is complete; maps and picture of another mask must not stay
        for name in (CASE_MANIFEST, OVERLAY_FILE, *(f"{key}.nii.gz" for key in MAPS)):
            (folder / name).unlink(missing_ok=True)
        save_on_ct_grid(folder / "pred.nii.gz", mask.astype(np.uint8), ct)
        for name, volume in maps.items():
            save_on_ct_grid(folder / f"{name}.nii.gz", np.round(volume.astype(np.float32), MAP_DECIMALS), ct)
        pet = pet_on_ct_grid(source["pet"], ct)
        row = {"case": case, **measure(mask, pet, ct.affine), **self._list_lesions(folder, output, case, mask, pet, ct)}
        if "overlay" in self.outputs:
            self._draw(folder / OVERLAY_FILE, case, ct, pet, mask, maps.get("probability"))
        row.update(self._export(folder, case, source))
        row["seconds"] = None if started is None else round(time.perf_counter() - started, 2)
        write_manifest(folder / CASE_MANIFEST, self._manifest(case, source, row, folder))
        return row

    def _list_lesions(self, folder: Path, output: Mapping[str, Any], case: str, mask, pet, ct) -> dict[str, Any]:
        """What there is to choose from; several lesions also as a map of their numbers, for `exporting`."""
        path = folder / "lesions.nii.gz"
        path.unlink(missing_ok=True)
        if "lesions" not in output:
            return {}
        numbers = on_ct_grid(output["lesions"], ct, case, "lesions")
        found = int(numbers.max(initial=0))
        if found > 1:
            save_on_ct_grid(path, numbers, ct)
        table = lesion_table(numbers, mask, pet, ct.affine)
        left_out = [str(lesion["number"]) for lesion in table if not lesion["chosen"]]
        if left_out:
            logger.info(
                "Case %s: %d lesions found, left out %s; --lesions chooses others, see predictions.json",
                case, found, ", ".join(left_out),
            )  # fmt: skip
        return {"lesions_found": found, "lesions": table}

    def _export(self, folder: Path, case: str, source: Mapping[str, Any]) -> dict[str, Any]:
        """Names of the DICOM files, or why there are none; the mask stays in either case."""
        try:
            mask, probability = folder / "pred.nii.gz", folder / "probability.nii.gz"
            files = self.dicom_export.write(folder, source, self._model_entry(), bundle_version(), mask, probability)
            return {"exported": files} if files else {}
        except (ValueError, RuntimeError, OSError) as error:
            reason = failure_text(error, [source["ct"]])
            self.failures[case] = f"mask written, but not as DICOM: {reason}"
            logger.error("Case %s: %s", case, self.failures[case])
            return {"not_exported": reason}

    def _model_entry(self) -> dict[str, Any] | None:
        if self._model is None:
            self._model = model_entry(self.model_path, self.model_card)
        return self._model

    def _draw(self, path: Path, case: str, ct, pet: np.ndarray, mask: np.ndarray, probability) -> None:
        ras = nib.as_closest_canonical(ct)
        task = {"gtv": "GTV", "igtv": "IGTV"}.get(self.model_card.get("task"), "Tumour")
        save_overlay(
            path,
            np.asanyarray(ras.dataobj),
            in_ras_order(pet, ct),
            {f"{task} (model)": in_ras_order(mask.astype(np.uint8), ct)},
            ras.header.get_zooms()[:3],
            title=case,
            probability=None if probability is None else in_ras_order(probability, ct),
            origin_mm=ras.affine[:3, 3],
            footnote=" · ".join(part for part in (self._model_name(), DISCLAIMER) if part),
        )

    def _model_name(self) -> str:
        return str((self._model_entry() or {}).get("name") or "")

    def _manifest(self, case: str, source: Mapping[str, Any], row: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        masks = [folder / name for name in MODEL_MASKS if (folder / name).is_file()]
        manifest = run_manifest(
            "inferring",
            config=self.config,
            items=[{key: source[key] for key in ("case", "ct", "pet")}],  # a label that lies there has no part in it
            model_card=self.model_card,
            device=self.device,
            seconds=row["seconds"],
            case=case,
            inputs={key: {"sha256": file_sha256(source[key])} for key in ("ct", "pet")},
            masks={path.name: {"sha256": file_sha256(path)} for path in masks},
            result={key: value for key, value in row.items() if key not in ("case", "seconds")},
        )
        return {**manifest, "model": self._model_entry()}

    def _write_summary(self) -> None:
        predictions = [{**row, "pred": f"{row['case']}/pred.nii.gz"} for row in self.rows]
        failed = [{"case": case, "reason": reason} for case, reason in self.failures.items()]
        summary = {"model": self._model, "predictions": predictions, "failed": failed, "disclaimer": DISCLAIMER}
        write_manifest(self.output_dir / "predictions.json", summary)
        with (
            replacing(self.output_dir / "summary.csv") as temporary,
            temporary.open("w", newline="", encoding="utf-8") as stream,
        ):
            writer = csv.DictWriter(stream, COLUMNS, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(self.rows)

    def _finish(self, engine: Engine) -> None:
        self._close_bar(engine)
        logger.info("%d case(s) segmented into %s", len(self.rows), self.output_dir)
        if self.failures:
            reasons = "; ".join(f"{case}: {reason}" for case, reason in self.failures.items())
            total = len(self.failures.keys() | {row["case"] for row in self.rows})
            text = f"{len(self.failures)} of {total} case(s) failed, the others are written. {reasons}"
            raise CasesFailed(text, self.failures)

    def _close_bar(self, engine: Engine) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _give_up(self, engine: Engine, error: BaseException) -> None:
        self._close_bar(engine)
        raise error
