"""A whole phantom data set: cases made in parallel, a datalist with folds, a picture."""

import logging
import os
import time
from pathlib import Path

from ..configuration.whole_numbers import whole_number
from ..data.datalist import DATALIST_NAME
from ..files import write_json
from ..processes import worker_count
from .case import make_case
from .making import claim_folder, in_parallel
from .overview import PICTURED_CASES, save_overview
from .recipe import OVERVIEW_FILE, Recipe, read_recipe
from .settings import PhantomSettings
from .storage import is_complete, load_case, save_case

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
        whole_number("num_cases", num_cases, 1),
        whole_number("num_testing", num_testing, 0),
        whole_number("num_folds", num_folds, 1),
        whole_number("seed", seed, 0),
        PhantomSettings.from_mapping({"task": task, **settings}),
    )
    workers = worker_count(num_workers)
    folder = Path(dataset_dir)
    datalist = folder / DATALIST_NAME
    claim_folder(folder, recipe, overwrite)
    missing = [index for index in recipe.indices if not is_complete(folder / recipe.case_id(index))]
    if not missing and datalist.is_file():
        logger.info(
            "The phantom data set in %s is already there (%d cases): nothing to do.", folder, len(recipe.indices)
        )
        return datalist
    jobs = [(folder, recipe, index) for index in missing]
    in_parallel(_make_one, jobs, workers, f"phantom {recipe.settings.task}", progress)
    pictured = recipe.indices[:PICTURED_CASES]
    save_overview(folder / OVERVIEW_FILE, [load_case(folder / recipe.case_id(index)) for index in pictured])
    write_json(datalist, recipe.datalist(folder))
    logger.info("Made %d phantom cases in %s.", len(missing), folder)
    return datalist


def ensure_phantom_dataset(dataset_dir: str | Path, wait_limit_s: float = WAIT_LIMIT_S, **arguments) -> Path:
    """Datalist of the phantom data set in a folder, made first where it is not there.

    Under torchrun the first process of each machine makes the data and the others wait for the datalist, which
    is written last; no process group is needed. A datalist that is there is taken as it is, but for a phantom of
    another seed: the same command would train on other cases, depending on what was run before.

    Args:
        dataset_dir: folder of the data set.
        wait_limit_s: how long the waiting processes wait.
        **arguments: as for `simulate`.

    Raises:
        FileExistsError: the phantom there was made with another seed.
        TimeoutError: the datalist did not appear.
    """
    datalist = Path(dataset_dir) / DATALIST_NAME
    if datalist.is_file():
        _refuse_another_seed(Path(dataset_dir), arguments.get("seed"))
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


def _refuse_another_seed(folder: Path, seed: int | None) -> None:
    found = (read_recipe(folder) or {}).get("seed")
    if seed is not None and found is not None and found != seed:
        raise FileExistsError(
            f"the phantom data set in {folder} was made with another seed (there {found}, asked {seed}): give "
            f"--phantom_seed {found} to use it, another --phantom_dir, or remove it"
        )


def _make_one(folder: Path, recipe: Recipe, index: int) -> None:
    case = make_case(recipe.seed, index, recipe.settings)
    save_case(folder / recipe.case_id(index), case)
