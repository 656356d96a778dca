"""A whole phantom data set: cases made in parallel, a datalist with folds, a picture."""

import logging
import os
import shutil
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from tqdm import tqdm

from .case import make_case
from .overview import PICTURED_CASES, save_overview
from .recipe import DATALIST_FILE, OVERVIEW_FILE, RECIPE_FILE, Recipe, read_recipe
from .settings import PhantomSettings
from .storage import FACTS_FILE, is_complete, load_case, save_case, save_json

logger = logging.getLogger(__name__)

DEFAULT_NUM_CASES = 32
DEFAULT_NUM_FOLDS = 4
WAIT_LIMIT_S = 1800.0


def simulate(
    dataset_dir: str | Path,
    task: str = "igtv",
    num_cases: int = DEFAULT_NUM_CASES,
    num_testing: int = 0,
    num_folds: int = DEFAULT_NUM_FOLDS,
    seed: int = 0,
    num_workers: int | None = None,
    overwrite: bool = False,
    progress: bool = True,
    **settings,
) -> Path:
    """Make a phantom data set, or finish one that was interrupted, or find that it is already there.

    Args:
        dataset_dir: folder to fill; a new or empty one, or one that holds the same data set.
        task: "gtv" or "igtv".
        num_cases: cases with a fold: fold k validates, the others train.
        num_testing: further cases, kept apart in the list `testing`.
        num_folds: folds, dealt out to the cases in turn.
        seed: seed of the whole data set.
        num_workers: processes; None: one per usable processor; 0: this process.
        overwrite: replace a phantom data set made with other settings. Anything else is never removed.
        progress: show a progress bar.
        **settings: fields of `PhantomSettings`; None leaves the default.

    Returns:
        Path of the datalist.

    Raises:
        ValueError: a parameter is out of range.
        TypeError: a setting has an unknown name.
        FileExistsError: the folder holds something else.
    """
    recipe = Recipe(
        int_setting("num_cases", num_cases, 1),
        int_setting("num_testing", num_testing, 0),
        int_setting("num_folds", num_folds, 1),
        int_setting("seed", seed, 0),
        PhantomSettings.from_mapping({"task": task, **settings}),
    )
    workers = usable_processors() if num_workers is None else int_setting("num_workers", num_workers, 0)
    folder = Path(dataset_dir)
    datalist = folder / DATALIST_FILE
    _claim_folder(folder, recipe, overwrite)
    missing = [index for index in recipe.indices if not is_complete(folder / recipe.case_id(index))]
    if not missing and datalist.is_file():
        logger.info(
            "The phantom data set in %s is already there (%d cases): nothing to do.", folder, len(recipe.indices)
        )
        return datalist
    _make_cases(folder, recipe, missing, workers, progress)
    pictured = recipe.indices[:PICTURED_CASES]
    save_overview(folder / OVERVIEW_FILE, [load_case(folder / recipe.case_id(index)) for index in pictured])
    save_json(datalist, recipe.datalist(folder))
    logger.info("Made %d phantom cases in %s.", len(missing), folder)
    return datalist


def ensure_phantom_dataset(dataset_dir: str | Path, wait_limit_s: float = WAIT_LIMIT_S, **arguments) -> Path:
    """Datalist of the phantom data set in a folder, made first where it is not there.

    Under torchrun the first process of each machine makes the data and the others wait for the datalist, which
    is written last; no process group is needed. A datalist that is there is taken as it is.

    Args:
        dataset_dir: folder of the data set.
        wait_limit_s: how long the waiting processes wait.
        **arguments: as for `simulate`.

    Raises:
        TimeoutError: the datalist did not appear.
    """
    datalist = Path(dataset_dir) / DATALIST_FILE
    if datalist.is_file():
        return datalist
    if int(os.environ.get("LOCAL_RANK", os.environ.get("RANK", "0"))) == 0:
        logger.info("No data in %s: making the phantom data set.", dataset_dir)
        return simulate(dataset_dir, **arguments)
    end = time.monotonic() + wait_limit_s
    while not datalist.is_file():
        if time.monotonic() > end:
            raise TimeoutError(
                f"{datalist} was not made within {wait_limit_s:g} s: look at the messages of the first process, "
                "or make the data beforehand with the command of docs/phantom.md."
            )
        time.sleep(0.2)
    return datalist


def int_setting(name: str, value, lowest: int) -> int:
    """A whole number of at least `lowest`, or a ValueError that names it."""
    if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
        raise ValueError(f"{name} is {value!r}: a whole number >= {lowest} is needed.")
    return value


def usable_processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _claim_folder(folder: Path, recipe: Recipe, overwrite: bool) -> None:
    """Make the folder ours, or say why that cannot be."""
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"dataset_dir {folder} is a file: give a folder.")
    if folder.is_dir() and any(not entry.name.startswith(".") for entry in folder.iterdir()):
        found = read_recipe(folder)
        if found is None:
            raise FileExistsError(
                f"dataset_dir {folder} holds files that are not a phantom data set: give a new or empty folder."
            )
        differences = recipe.differences(found)
        if not differences:
            return
        if not overwrite:
            raise FileExistsError(
                f"dataset_dir {folder} holds a phantom data set made with other settings ({'; '.join(differences)}): "
                "give another folder, or `--overwrite True` to replace it."
            )
        _remove_dataset(folder)
    save_json(folder / RECIPE_FILE, recipe.to_dict())


def _remove_dataset(folder: Path) -> None:
    """Remove what a data set consists of and nothing else; the datalist first, as it stands for completeness."""
    for name in (DATALIST_FILE, OVERVIEW_FILE, RECIPE_FILE):
        (folder / name).unlink(missing_ok=True)
    for facts in folder.glob(f"*gtv_*/{FACTS_FILE}"):
        shutil.rmtree(facts.parent)


def _make_cases(folder: Path, recipe: Recipe, indices: list[int], workers: int, progress: bool) -> None:
    with tqdm(total=len(indices), desc=f"phantom {recipe.settings.task}", unit="case", disable=not progress) as bar:
        if workers < 2 or len(indices) < 2:
            for index in indices:
                _make_one(folder, recipe, index)
                bar.update()
            return
        # fork starts at once and needs no second import of the caller's main module; the workers touch no torch
        context = get_context("fork" if sys.platform == "linux" else "spawn")
        with ProcessPoolExecutor(min(workers, len(indices)), mp_context=context) as pool:
            jobs = {pool.submit(_make_one, folder, recipe, index): index for index in indices}
            try:
                for job in as_completed(jobs):
                    job.result()
                    bar.update()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def _make_one(folder: Path, recipe: Recipe, index: int) -> None:
    case = make_case(recipe.seed, index, recipe.settings)
    save_case(folder / recipe.case_id(index), case)
