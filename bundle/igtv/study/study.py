"""The study from its settings to its report, stage by stage; what is done already is not done again."""

import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from ..learning.work import CONFIGS_DIR
from ..locks import locked
from .branch import CONFIGS_COPY, Branch, Cell, breathing_branches
from .calibration import CALIBRATION_FILE, calibrate
from .data import BREATHING, PHANTOM, breathing_data, check_patients, phantom_data
from .plan import MOVED_ZERO_SHOT, StudyPlan, plan_from, split_arm
from .registration import (
    NotRegistered,
    read_registration,
    refuse_changes,
    register,
    registered_content,
    remember_changes,
    remembered_changes,
    unregistered,
)
from .report import Findings, write_report
from .store import content_digest, load_json
from .subsets import labelled_subset
from .tuning import chosen_settings, run_tuning
from .units import Unit, UnitRunner

STAGES = ("data", "calibration", "registration", "pretraining", "tuning", "arms", "test", "report")
REGISTERED_STAGES = ("pretraining", "tuning", "arms", "test")
CONFIG_FILE, LOCK_FILE = "study_transfer.json", ".lock"

logger = logging.getLogger(__name__)


def run_study(
    output_dir: str | Path,
    stages: Sequence[str] = STAGES,
    patients_dir: str | Path | None = None,
    patients_datalist: str | Path | None = None,
    device: str | None = None,
    num_parallel: int | None = None,
    own_process: bool = True,
    accept_calibration: bool = False,
    allow_unregistered: bool = False,
    run_sizes: Sequence[int] | None = None,
    run_architectures: Sequence[str] | None = None,
    **choices: Any,
) -> dict[str, Any]:
    """Run the study, or what is missing of it.

    Args:
        output_dir: folder of everything.
        stages: of `STAGES`, in any order; they run in the order of `STAGES`. The data are made by every stage where
            they are missing.
        patients_dir: real patients with CT, PET and GTV, for Data B; None: Data A alone.
        patients_datalist: their datalist; None: `dataset.json` in that folder.
        device: of trainings and tests; None: CUDA where there is one.
        num_parallel: processes at a time.
        own_process: see `UnitRunner`.
        accept_calibration: register although the calibration is not what was expected.
        allow_unregistered: go on although nothing, or something else, is registered.
        run_sizes, run_architectures: numbers of labelled patients and networks whose arms are run this time; None: all
            that are planned. What is planned and registered stays the same, so that a study can be spread over several
            nights.
        **choices: the fields of `StudyPlan`.

    Returns:
        Content of `study.json`; empty without the stage report.

    Raises:
        ValueError: an unknown stage, settings that cannot be, or other settings than those registered.
        RuntimeError: units failed, the others have been done; or another process works on this study.
    """
    if isinstance(stages, str) or not stages or not set(stages) <= set(STAGES):
        given = repr(stages) if isinstance(stages, str) else list(stages)
        raise ValueError(f"stages={given}: give a list, such as \"['data','calibration']\", of {', '.join(STAGES)}")
    roots = [str(Path(patients_dir).absolute())] if patients_dir else []
    study = Study(
        output_dir,
        plan_from(choices),
        patients_dir,
        patients_datalist,
        UnitRunner(output_dir, roots, device, num_parallel, own_process),
        allow_unregistered=allow_unregistered,
        accept_calibration=accept_calibration,
    )
    study.choose(run_sizes, run_architectures)
    if "report" in stages:
        study.refuse_to_lose_data()
    with _alone(study.folder):
        for stage in STAGES:
            if stage in stages:
                logger.info("stage %s", stage)
                if stage in REGISTERED_STAGES:
                    study.check_registration()
                getattr(study, stage)()
        study.refuse_failures()
    return study.findings


class Study:
    """A study: its plan, its data sets, its runner; one method per stage.

    Args:
        output_dir, patients_dir, patients_datalist, accept_calibration, allow_unregistered: see `run_study`.
        plan: all choices.
        runner: of its units.

    Raises:
        ValueError: `patients_datalist` without `patients_dir`, or patients that do not suffice for Data B.
    """

    def __init__(
        self,
        output_dir: str | Path,
        plan: StudyPlan,
        patients_dir: str | Path | None,
        patients_datalist: str | Path | None,
        runner: UnitRunner,
        allow_unregistered: bool = False,
        accept_calibration: bool = False,
    ) -> None:
        self.folder, self.plan, self.runner = Path(output_dir).absolute(), plan, runner
        self.patients_dir = None if patients_dir is None else Path(patients_dir).absolute()
        self.patients_datalist = patients_datalist
        if self.patients_dir is not None:
            check_patients(plan, self.patients_dir, patients_datalist)
        elif patients_datalist is not None:
            raise ValueError(f"patients_datalist={patients_datalist} without patients_dir: give the folder too")
        self.allow_unregistered, self.accept_calibration = allow_unregistered, accept_calibration
        self.choose(None, None)
        self.findings: dict[str, Any] = {}
        self._branches: list[Branch] = []

    def choose(self, sizes: Sequence[int] | None, architectures: Sequence[str] | None) -> None:
        """Run only the arms with these numbers of labelled patients and these networks; None: all that are planned.

        Raises:
            ValueError: one of them is not planned.
        """
        planned = sorted({*self.plan.sizes, *self.plan.breathing_sizes}), list(self.plan.architectures)
        for key, wanted, known in zip(("sizes", "architectures"), (sizes, architectures), planned, strict=True):
            if wanted is not None and (isinstance(wanted, str) or not isinstance(wanted, Sequence)):
                raise ValueError(f"run_{key} is {wanted!r}: a list is needed, such as {known[:1]}")
            if wanted is not None and (not wanted or not set(known).issuperset(wanted)):
                raise ValueError(f"run_{key}={list(wanted)}: planned are {known}; null runs them all")
        self._sizes = set(planned[0] if sizes is None else sizes)
        self._architectures = set(planned[1] if architectures is None else architectures)

    @property
    def branches(self) -> list[Branch]:
        """Data A and, with patients, Data B; made where they are missing."""
        if not self._branches:
            self._keep_configs()
            plan, workers = self.plan, self.runner.num_parallel if self.runner.on_cpu else None
            cases = phantom_data(plan, self.folder / PHANTOM / "data", workers)
            self._branches = [Branch(PHANTOM, plan, cases, self.folder, plan.sizes, plan.recipe)]
            if self.patients_dir is not None:
                more = cases.pretraining if plan.breathing_with_phantom else ()
                home = self.folder / BREATHING / "data"
                parts = breathing_data(plan, home, self.patients_dir, self.patients_datalist, more, self.configs_dir)
                self._branches += breathing_branches(plan, parts, self.folder)
        return self._branches

    @property
    def configs_dir(self) -> Path:
        """The study's own copy of the bundle's configs."""
        return self.folder / CONFIGS_COPY

    def _keep_configs(self) -> None:
        """Copy the configs once; the study goes on with them whatever the bundle's become."""
        if not self.configs_dir.is_dir():
            temporary = self.configs_dir.with_name(f".{CONFIGS_COPY}")
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.copytree(CONFIGS_DIR, temporary, ignore=lambda _, names: [n for n in names if n.endswith(".conf")])
            temporary.rename(self.configs_dir)

    def refuse_to_lose_data(self) -> None:
        """Refuse a report without Data B where there is one.

        Raises:
            ValueError: real patients are registered here, and none are given.
        """
        known = (read_registration(self.folder) or {}).get("data_registered", {})
        if self.patients_dir is None and any(home.startswith(BREATHING) for home in known):
            raise ValueError(
                f"{self.folder} has Data B, of real patients, and its report would be written without it: give "
                "patients_dir, or leave the stage report out"
            )

    def refuse_failures(self) -> None:
        """Say which units failed, if any did.

        Raises:
            RuntimeError: names them.
        """
        failures = self.runner.failures
        if failures:
            named = "; ".join(f"{name}: {reason}" for name, reason in failures.items())
            raise RuntimeError(f"{len(failures)} unit(s) failed, the same command tries them again: {named}")

    def data(self) -> None:
        """Make the data, or see that they are there."""
        for branch in self.branches:
            tested = len({case["patient"] for case in branch.data.testing})
            logger.info("Data %s: %d patients to test on", branch.home, tested)

    def calibration(self) -> None:
        """Measure the phantom's difficulty with the simple arms."""
        if calibrate(self.branches[0], self.runner) is None:
            self.refuse_failures()  # everything after it rests on it

    def registration(self) -> None:
        """Fix everything that a result depends on."""
        calibration = load_json(self.folder / PHANTOM / CALIBRATION_FILE)
        if calibration is None:
            raise NotRegistered("there is no calibration to rest the registration on: run the stage calibration first")
        if not calibration["within_expected"] and not self.accept_calibration:
            checks = calibration["checks"].items()
            off = [
                f"{name} {check['value']:.3f}, expected {check['expected']}"
                for name, check in checks
                if not check["within"]
            ]
            raise NotRegistered(
                f"the calibration is not what was expected ({'; '.join(off)}): change phantom_settings and calibrate "
                "in a new output_dir, or give --accept_calibration True"
            )
        summary = {"sha256": content_digest(calibration), "checks": calibration["checks"]}
        register(self.folder, self.content, summary)

    def check_registration(self) -> None:
        """Refuse to go on with something that is not registered, or note that it is not."""
        if not self.allow_unregistered:
            refuse_changes(read_registration(self.folder), self.content)
            return
        changed = unregistered(self.folder, self.content)
        if changed:
            logger.warning("going on with what is not registered: %s", "; ".join(changed))
            remember_changes(self.folder, changed)

    def pretraining(self) -> None:
        """Train on the GTV cases."""
        for branch in self.branches:
            self.runner.run(branch.pretrainings(self._architectures_of(branch)), f"pre-training {branch.home}")

    def tuning(self) -> None:
        """Choose settings by validation Dice."""
        for branch in self.branches:
            run_tuning(branch, self.runner, self._architectures_of(branch))

    def arms(self) -> None:
        """Train all network arms."""
        for branch in self.branches:
            chosen = chosen_settings(branch)
            cells = [cell for cell in branch.network_cells() if cell.arm in chosen and self._runs(cell)]
            units = [branch.arm(cell, chosen[cell.arm]) for cell in cells]
            self.runner.run(units, f"arms {branch.home}")

    def test(self) -> None:
        """Measure every arm on the cases to test on, once."""
        for branch in self.branches:
            predictions, tests = self._tests(branch)
            masks = [unit for name, units in predictions.items() if name in self._architectures for unit in units]
            self.runner.run(masks, f"GTV masks {branch.home}")
            self.runner.run([unit for cell, unit in tests.items() if self._runs(cell)], f"test {branch.home}")

    def report(self) -> None:
        """Tables, curves, pictures, decisions, costs."""
        findings = Findings(
            plan=self.plan,
            branches=self.branches,
            tests={branch.home: self._done(branch) for branch in self.branches},
            runner=self.runner,
            registration=read_registration(self.folder),
            unregistered=list(dict.fromkeys(self._unregistered())),
            full_plan=full_plan() if self.plan.scale != "full" else self.plan,
        )
        self.findings = write_report(self.folder, findings)

    @property
    def content(self) -> dict[str, Any]:
        """What is registered, or has to equal it; sources and configs as they are now."""
        return registered_content(self.plan, self._data_digests, self.configs_dir)

    @cached_property
    def _data_digests(self) -> dict[str, dict[str, str]]:
        return {branch.home: branch.data.digest() for branch in self.branches}

    def _unregistered(self) -> list[str]:
        """How study and results differ from what is registered."""
        found = [*remembered_changes(self.folder), *unregistered(self.folder, self.content)]
        registration = read_registration(self.folder)
        if registration is not None:
            sources = content_digest(registration["content"]["sources"])
            others = [result["unit"] for result in self.runner.all_results() if result["sources"] != sources]
            if others:
                found.append(f"{len(others)} unit(s) were done by other sources than those registered, as {others[0]}")
        return found

    def _architectures_of(self, branch: Branch) -> list[str]:
        """Networks of a data set that are run this time, in the order of the plan."""
        return [name for name in branch.plan.architectures if name in self._architectures]

    def _runs(self, cell: Cell) -> bool:
        """Whether a cell is run this time; what needs no labelled patient, or no network, is not left out for it."""
        return cell.size in {0, *self._sizes} and split_arm(cell.arm)[1] in {None, *self._architectures}

    def _tests(self, branch: Branch) -> tuple[dict[str, list[Unit]], dict[Cell, Unit]]:
        """Masks of the GTV models by architecture, and the test of every cell of the grid."""
        plan, data = branch.plan, branch.data
        tests: dict[Cell, Unit] = {}
        for cell in branch.simple_cells("threshold"):
            labelled = labelled_subset(data.pool, cell.size, cell.seed)
            tests[cell] = branch.test_threshold(f"test/{cell.name}", labelled, data.testing)
        if all("gtv" in case for case in data.testing):
            perfect = Cell("perfect_gtv", 0, 0)
            tests[perfect] = branch.test_gtv(f"test/{perfect.name}", data.testing)
        predictions: dict[str, list[Unit]] = {name: [] for name in plan.main_architectures}
        for name, seed in product(plan.main_architectures, plan.seeds):
            learned = data.validation if branch.gtv_saw_the_pool else data.pool
            known = branch.predict(name, seed, f"gtv_masks/{name}/seed{seed}/known", learned)
            masks = branch.predict(name, seed, f"gtv_masks/{name}/seed{seed}/testing", data.testing)
            predictions[name] += [known, masks]
            zero = Cell(f"zero_shot_{name}", 0, seed)
            tests[zero] = branch.test_masks(masks, f"test/{zero.name}", data.testing)
            moved = Cell(f"{MOVED_ZERO_SHOT}_{name}", 0, seed)
            tests[moved] = branch.test(
                branch.pretraining(name, seed, moved=True), name, f"test/{moved.name}", data.testing
            )
            after = {"margin": branch.test_margin, "seeded_threshold": branch.test_seeded_threshold}
            for (kind, test), size in product(after.items(), branch.sizes_after_gtv):
                cell = Cell(f"{kind}_{name}", size, seed)
                tests[cell] = test(known, masks, f"test/{cell.name}", branch.known_cases(cell), data.testing)
        chosen = chosen_settings(branch)
        for cell in (cell for cell in branch.network_cells() if cell.arm in chosen):
            training = branch.arm(cell, chosen[cell.arm])
            architecture = split_arm(cell.arm)[1]
            tests[cell] = branch.test(training, architecture, f"test/{cell.name}", data.testing)
        return predictions, tests

    def _done(self, branch: Branch) -> dict[Cell, Unit]:
        """Tests that have been done."""
        try:
            _, tests = self._tests(branch)
        except FileNotFoundError:  # before the tuning nobody knows what the arms are
            return {}
        return {cell: unit for cell, unit in tests.items() if self.runner.result(unit) is not None}


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Only one process at a time works on a study."""
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(folder / LOCK_FILE, wait_s=0))
        except BlockingIOError as error:
            raise RuntimeError(f"a study is under way in {folder}: wait for its end") from error
        yield


def full_plan() -> StudyPlan:
    """The plan of the full study, as the config has it: a small one reckons its cost."""
    parser = ConfigParser()
    parser.read_config(str(CONFIGS_DIR / CONFIG_FILE))
    parser["scale"] = "full"
    return plan_from({field.name: parser.get_parsed_content(field.name) for field in fields(StudyPlan)})
