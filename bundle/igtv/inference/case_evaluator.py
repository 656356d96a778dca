"""One bad case must not stop the others: a data set and an evaluator that note a failure and go on."""

import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.data import Dataset
from monai.engines import SupervisedEvaluator

from ..data.checks import find_problem

FAILURE = "failure"

logger = logging.getLogger(__name__)


class CaseDataset(Dataset):
    """`monai.data.Dataset` whose item is {"case", "failure"} where its transforms raised; needs batch size 1.

    Args:
        data: items with `case`, `ct`, `pet`.
        transform: of an item.
        check: look at the files of every case first, as a training does (`data.checks`): a PET in Bq/ml, a NaN or a
            swapped pair would give a mask like any other. For cases that nothing has checked yet.
    """

    def __init__(self, data: Sequence[Mapping[str, Any]], transform: Callable, check: bool = False) -> None:
        super().__init__(data, transform)
        self.check = check

    def _transform(self, index: int) -> Any:
        try:
            if self.check:
                self._refuse_bad(self.data[index])
            return super()._transform(index)
        except Exception as error:
            item = self.data[index]
            paths = [item[key] for key in ("ct", "pet", "label") if key in item]
            return {"case": item["case"], FAILURE: failure_text(error, paths)}

    @staticmethod
    def _refuse_bad(item: Mapping[str, Any]) -> None:
        problem = find_problem({key: item[key] for key in ("case", "ct", "pet")}, need_label=False)
        if problem is not None:
            raise ValueError(problem)


class TolerantEvaluator(SupervisedEvaluator):
    """`SupervisedEvaluator` that lists cases it could not segment and goes on with the next.

    After a failed case `engine.state.output` and `engine.state.batch` are empty lists, so handlers that walk over
    them have nothing to do. `failures` maps the case name to the reason.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.failures: dict[str, str] = {}
        super().__init__(*args, **kwargs)

    def run(self) -> None:
        self.failures.clear()
        super().run()

    def _iteration(self, engine: SupervisedEvaluator, batchdata: Mapping[str, Any]) -> Any:
        case = str(batchdata["case"][0]) if "case" in batchdata else f"number {engine.state.iteration}"
        if FAILURE in batchdata:
            return self._failed(engine, case, batchdata[FAILURE][0])
        try:
            return super()._iteration(engine, batchdata)
        except Exception as error:
            logger.debug("Case %s failed", case, exc_info=True)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()  # after running out of memory the next, smaller case may fit
            return self._failed(engine, case, failure_text(error))

    def _failed(self, engine: SupervisedEvaluator, case: str, reason: str) -> list:
        self.failures[case] = reason
        logger.error("Case %s: not segmented, going on with the next. %s", case, reason)
        engine.state.output, engine.state.batch = [], []
        return engine.state.output


def failure_text(error: BaseException, paths: Iterable[str | Path] = ()) -> str:
    """The error's first cause in one line, its files without their folders, which may name the patient.

    MONAI wraps the cause in "applying transform ...".

    Args:
        error: what was raised.
        paths: files of the case; a folder with a space in its name is only recognised through them.
    """
    while error.__cause__ is not None:
        error = error.__cause__
    text = " ".join(str(error).split())
    for path in paths:
        text = text.replace(f"{Path(path).parent}{os.sep}", "")
    text = re.sub(r"(?<![\w.])/(?:[^/\s'\"]+/)+", "", text)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
