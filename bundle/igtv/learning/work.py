"""The part of a cycle that computes: fine-tuning and evaluations, by the bundle's own configs.

`python -m igtv.learning.work <plan.json>` runs it in a process of its own. It writes into the folders of its plan and
nowhere else; what becomes of the result is decided by the process that started it.
"""

import json
import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from monai.bundle import ConfigWorkflow

from ..configuration.error_summary import first_cause
from .frozen_set import read_frozen_set

BUNDLE_DIR = Path(__file__).resolve().parents[2]
CONFIGS_DIR = BUNDLE_DIR / "configs"
DATA_KEYS = ("train#dataset#data", "validate#dataset#data")
CASE_KEYS = ("case", "ct", "pet", "label", "no_tumour")

logger = logging.getLogger(__name__)


def do_work(plan: Mapping[str, Any], tell: Callable[..., None] = lambda **entries: None) -> None:
    """Fine-tune and evaluate.

    Args:
        plan: `frozen` (folder of the frozen set), `finetuning` (overrides of the verb `finetuning`, with the lists of
            cases) and `evaluations` (overrides of the verb `evaluating`, one mapping each).
        tell: takes the phase as a keyword.

    Raises:
        ValueError: a case of the frozen set is among those to learn from, or a verb failed for such a reason.
    """
    frozen = read_frozen_set(plan["frozen"])
    settings = plan["finetuning"]
    frozen.refuse_leaks([case for key in DATA_KEYS for case in settings[key]])
    # a PatientID is anybody's text and overrides are evaluated: the data set needs none
    slim = {
        key: [{name: case[name] for name in CASE_KEYS if name in case} for case in settings[key]] for key in DATA_KEYS
    }
    tell(phase="training")
    run_verb("finetuning", ("train.json", "finetune.json"), {**settings, **slim})
    tell(phase="evaluating")
    for evaluation in plan["evaluations"]:
        run_verb("evaluating", ("train.json", "evaluate.json"), evaluation)


def run_verb(verb: str, names: tuple[str, ...], settings: Mapping[str, Any], configs_dir: Path = CONFIGS_DIR) -> None:
    """Run a verb of the bundle in this process, as `python -m monai.bundle run` does.

    Args:
        verb: such as "training".
        names: of the config files.
        settings: keys to replace.
        configs_dir: folder of the config files.

    Raises:
        Exception: the first cause of what went wrong, without MONAI's wrapping.
    """
    workflow = ConfigWorkflow(
        config_file=[str(configs_dir / name) for name in names],
        meta_file=str(CONFIGS_DIR / "metadata.json"),
        logging_file=False,
        workflow_type="train",
        run_id=verb,
        bundle_root=str(BUNDLE_DIR),
        **settings,
    )
    try:
        workflow.initialize()
        workflow.run()
        workflow.finalize()
    except Exception as error:
        cause = first_cause(error)
        if cause is error:
            raise
        raise cause from None


def main(arguments: list[str]) -> int:
    """Work through the plan named by the only argument; phases are appended to `phases.txt` beside it."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout)
    path = Path(arguments[0])

    def tell(phase: str) -> None:
        with open(path.with_name(PHASES_FILE), "a", encoding="utf-8") as file:
            file.write(phase + "\n")

    try:
        do_work(json.loads(path.read_text(encoding="utf-8")), tell)
    except (ValueError, OSError, RuntimeError) as error:
        logger.exception("the work of the cycle failed")
        print(f"{type(error).__name__}: {error}", flush=True)
        return 1
    return 0


PHASES_FILE = "phases.txt"

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
