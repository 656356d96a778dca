"""One training run from start to end: refusals, earlier results set aside, resume, run, last weights, manifest."""

import logging
import os
import shutil
from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from datetime import datetime
from pathlib import Path

from ignite.engine import Engine, Events
from tqdm.contrib.logging import logging_redirect_tqdm

from ..files import TEMPORARY_PREFIX, free_path
from ..locks import locked
from .allocator import keep_freed_memory
from .checkpoint_keeper import BEST_NAME, CHECKPOINT_NAME, LAST_NAME, CheckpointKeeper, WeightsKeeper, check_resumable
from .early_stopping import EarlyStop
from .history import CURVE_NAME, LOG_NAME, History
from .manifest import MANIFEST_NAME, TrainingManifest

logger = logging.getLogger(__name__)

LOCK_NAME = ".training.lock"
LOADERS_END_S = 10.0  # the loader processes of a killed run hold its lock until they see, within 5 s, that it is gone
RESULTS = (
    CHECKPOINT_NAME,
    BEST_NAME,
    LAST_NAME,
    *(str(Path(name).with_suffix(".json")) for name in (BEST_NAME, LAST_NAME)),
    LOG_NAME,
    CURVE_NAME,
    MANIFEST_NAME,
    "tensorboard",
    "pictures",
)


def prepare_output_dir(
    output_dir: str | Path, resume: bool, model_path: str | Path | None = None, is_main: bool = True
) -> None:
    """Refuse what cannot become a run before anything expensive is built; results of an earlier run stay untouched.

    They are set aside by `run_training`, once the run has taken a step: a misspelt folder of data or a wrong size must
    not move them.

    Args:
        output_dir: folder of the results.
        resume: the run goes on from the checkpoint in the folder.
        model_path: weights that the run starts from.
        is_main: rank 0; the others change nothing.

    Raises:
        FileNotFoundError: there is no checkpoint to resume from.
        FileExistsError: another training writes into the folder.
        ValueError: `model_path` is among the results that will move away.
    """
    output_dir = Path(output_dir)
    if resume:
        check_resumable(output_dir)
    elif model_path is not None and Path(model_path).resolve() in {(output_dir / name).resolve() for name in RESULTS}:
        raise ValueError(
            f"model_path {model_path} is a result of an earlier run in output_dir {output_dir}: give the new run an "
            "output_dir of its own"
        )
    if is_main:
        with _alone_in(output_dir) if (output_dir / LOCK_NAME).exists() else nullcontext():
            for leftover in output_dir.glob(f"{TEMPORARY_PREFIX}*"):  # a run was killed while it wrote
                leftover.unlink()


def run_training(
    trainer: Engine,
    checkpoint: CheckpointKeeper,
    weights: WeightsKeeper,
    history: History,
    early_stopping: EarlyStop,
    manifest: TrainingManifest,
    output_dir: str | Path,
    resume: bool,
    is_main: bool = True,
) -> Mapping[str, float | int | None]:
    """Train, and leave `model.pt`, `model_last.pt`, the log, the curve and `run_manifest.json` in `output_dir`.

    What an earlier run left there first moves to `previous_<time>`, unless this one goes on from it.

    Args:
        trainer: engine with all handlers attached.
        checkpoint: full state for a resume.
        weights: best and last weights.
        history: rows per epoch.
        early_stopping: knows whether an interrupted run had ended early.
        manifest: settings of the run, and writer of the run manifest.
        output_dir: folder of the results.
        resume: go on from the checkpoint.
        is_main: rank 0; the others write nothing.

    Returns:
        Last epoch, best epoch, best and last validation Dice.

    Raises:
        FileExistsError: another training writes into the folder.
    """
    output_dir = Path(output_dir)
    with _alone_in(output_dir) if is_main else nullcontext():
        checkpoint.settings = manifest.settings()
        _begin(trainer, checkpoint, output_dir, resume, is_main)
        if trainer.state.epoch < trainer.state.max_epochs and not early_stopping.stopped:
            with logging_redirect_tqdm():
                trainer.run()
        elif all((output_dir / name).is_file() for name in (BEST_NAME, LAST_NAME, MANIFEST_NAME)):
            reason = "stopped early" if early_stopping.stopped else "all epochs are done"
            logger.info("nothing to resume: the training in %s is complete (%s)", output_dir, reason)
            return _results(trainer, history)
        results = _results(trainer, history)
        if is_main:
            weights.save_last(trainer.state.epoch, results["last_val_dice"])
            manifest(seconds=checkpoint.seconds, results=results)
            _announce(results, output_dir, checkpoint.seconds)
        return results


def _alone_in(output_dir: Path) -> ExitStack:
    """The lock of a folder, held until the block or the process ends: two runs would mix their files."""
    stack = ExitStack()
    try:
        stack.enter_context(locked(output_dir / LOCK_NAME, LOADERS_END_S))
    except BlockingIOError:
        raise FileExistsError(
            f"another training writes into output_dir {output_dir}: wait for its end, or give this one an output_dir "
            "of its own"
        ) from None
    return stack


def _begin(trainer: Engine, checkpoint: CheckpointKeeper, output_dir: Path, resume: bool, is_main: bool) -> None:
    """Go on from the checkpoint, or move an earlier run's results out of the way after the first step."""
    if resume:
        epoch = checkpoint.load(trainer.state.device)
        logger.info("resuming from %s after epoch %d of %d", checkpoint.path, epoch, trainer.state.max_epochs)
    elif is_main:
        trainer.add_event_handler(Events.ITERATION_COMPLETED(once=1), lambda: set_aside(output_dir))
    if trainer.state.device.type == "cpu":
        keep_freed_memory()


def set_aside(output_dir: Path) -> None:
    """Move an earlier run's results into a sub-folder named by the time, so that nothing is overwritten.

    Other files in the folder stay where they are.
    """
    found = [output_dir / name for name in RESULTS if (output_dir / name).exists()]
    if not found:
        return
    target = free_path(output_dir / f"previous_{datetime.now():%Y%m%d_%H%M%S}")
    target.mkdir()
    for entry in found:
        shutil.move(os.fspath(entry), os.fspath(target / entry.name))
    logger.info("the results of an earlier run in %s are now in %s", output_dir, target.name)


def _results(trainer: Engine, history: History) -> dict[str, float | int | None]:
    best_epoch, best_val_dice = history.best() or (None, None)
    return {
        "epochs": trainer.state.epoch,
        "best_epoch": best_epoch,
        "best_val_dice": best_val_dice,
        "last_val_dice": history.latest("val_dice"),
    }


def _announce(results: Mapping[str, float | int | None], output_dir: Path, seconds: float) -> None:
    best = results["best_val_dice"]
    scored = "no validation" if best is None else f"best validation Dice {best:.3f} (epoch {results['best_epoch']})"
    logger.info("trained %d epochs in %.0f s: %s; results in %s", results["epochs"], seconds, scored, output_dir)
