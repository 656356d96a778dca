"""Making a data set: its folder is claimed and never mistaken, its cases are made by several processes."""

import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from pathlib import Path
from typing import Protocol

from tqdm import tqdm

from ..data.datalist import DATALIST_NAME
from ..files import write_json
from ..processes import process_pool
from .recipe import OVERVIEW_FILE, RECIPE_FILE, read_recipe
from .storage import FACTS_FILE, PHASES_FILE


class DatasetRecipe(Protocol):
    """Everything a data set depends on."""

    def to_dict(self) -> dict: ...

    def differences(self, found: dict) -> list[str]: ...


def claim_folder(folder: Path, recipe: DatasetRecipe, overwrite: bool) -> None:
    """Make the folder ours, or say why that cannot be.

    Args:
        folder: folder of the data set.
        recipe: what will be in it.
        overwrite: replace a data set made with another recipe.

    Raises:
        FileExistsError: the folder holds something else.
    """
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
    write_json(folder / RECIPE_FILE, recipe.to_dict())


def _remove_dataset(folder: Path) -> None:
    """Remove what a data set consists of and nothing else; the datalist first, as it stands for completeness."""
    for name in (DATALIST_NAME, OVERVIEW_FILE, RECIPE_FILE):
        (folder / name).unlink(missing_ok=True)
    for facts in folder.glob(f"*/{FACTS_FILE}"):
        if (facts.parent / PHASES_FILE).is_file():
            shutil.rmtree(facts.parent)


def in_parallel(make: Callable, jobs: Sequence[tuple], workers: int, title: str, progress: bool) -> list:
    """Results of `make(*job)` in the order of the jobs.

    Args:
        make: a function of a module.
        jobs: its arguments.
        workers: processes; below 2: this process.
        title: text at the progress bar.
        progress: show the bar.
    """
    with tqdm(total=len(jobs), desc=title, unit="case", disable=not progress) as bar:
        if workers < 2 or len(jobs) < 2:
            results = []
            for job in jobs:
                results.append(make(*job))
                bar.update()
            return results
        with process_pool(min(workers, len(jobs))) as pool:
            futures = [pool.submit(make, *job) for job in jobs]
            try:
                for future in as_completed(futures):
                    future.result()
                    bar.update()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            return [future.result() for future in futures]
