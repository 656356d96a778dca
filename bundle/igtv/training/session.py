"""One training run from start to end: earlier results set aside, resume, run, last weights, manifest."""

import logging
import os
import shutil
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from ignite.engine import Engine

from .checkpoint_keeper import CHECKPOINT_NAME, CheckpointKeeper, WeightsKeeper
from .history import History

logger = logging.getLogger(__name__)


def run_training(
    trainer: Engine,
    checkpoint: CheckpointKeeper,
    weights: WeightsKeeper,
    history: History,
    output_dir: str | Path,
    resume: bool,
    manifest: Callable[..., None],
    is_main: bool = True,
) -> Mapping[str, float | int | None]:
    """Train, and leave `model.pt`, `model_last.pt`, the log, the curve and `run_manifest.json` in `output_dir`.

    Args:
        trainer: engine with all handlers attached.
        checkpoint: full state for a resume.
        weights: best and last weights.
        history: rows per epoch.
        output_dir: folder of the results; what an earlier run left there moves to `previous_<time>`.
        resume: go on from `checkpoint.pt` instead.
        manifest: writes the run manifest; called with seconds and results.
        is_main: rank 0; the others write nothing.

    Returns:
        Last epoch, best epoch, best and last validation Dice.
    """
    output_dir = Path(output_dir)
    started = time.perf_counter()
    if resume:
        checkpoint.load(trainer.state.device)
    elif is_main:
        set_aside(output_dir)
    if trainer.state.epoch < trainer.state.max_epochs:  # a resumed run may be complete already
        trainer.run()
    if is_main:
        weights.save_last(trainer.state.epoch, history.latest("val_dice"))
    best = history.best()
    results = {
        "epochs": trainer.state.epoch,
        "best_epoch": None if best is None else best[0],
        "best_val_dice": None if best is None else best[1],
        "last_val_dice": history.latest("val_dice"),
    }
    if is_main:
        manifest(seconds=time.perf_counter() - started, results=results)
        _announce(results, output_dir, time.perf_counter() - started)
    return results


def set_aside(output_dir: Path) -> None:
    """Move an earlier run's results into a sub-folder named by the time, so that nothing is overwritten."""
    if not (output_dir / CHECKPOINT_NAME).is_file():
        return
    target = output_dir / f"previous_{datetime.now():%Y%m%d_%H%M%S}"
    target.mkdir()
    for entry in output_dir.iterdir():
        if not entry.name.startswith("previous_"):
            shutil.move(os.fspath(entry), os.fspath(target / entry.name))
    logger.info("the results of an earlier run in %s are now in %s", output_dir, target.name)


def _announce(results: Mapping[str, float | int | None], output_dir: Path, seconds: float) -> None:
    best = results["best_val_dice"]
    scored = "no validation" if best is None else f"best validation Dice {best:.3f} (epoch {results['best_epoch']})"
    logger.info("trained %d epochs in %.0f s: %s; results in %s", results["epochs"], seconds, scored, output_dir)
