"""Pre-registration: what is fixed before an arm is run, and the refusal to go on with anything else."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..learning.work import CONFIGS_DIR
from ..phantom.settings import GENERATOR_VERSION
from .plan import StudyPlan
from .store import load_json, save_json

REGISTRATION_FILE, UNREGISTERED_FILE = "registration.json", "unregistered.json"
# answers are measured with them, but they change no result
NOT_REGISTERED = ("scale",)


class NotRegistered(ValueError):
    """The study is not what was registered, or nothing was registered."""


def registered_content(plan: StudyPlan, data: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """Everything a result depends on: the plan, the labels of the data, the generator, the configs of the trainings.

    Args:
        plan: of the study.
        data: per data set, the digests of `StudyData.digest`.
    """
    overlays = {content["overlay"] for content in plan.architectures.values() if content.get("overlay")}
    configs = {name: _config_digest(CONFIGS_DIR / name) for name in ("train.json", "finetune.json", *sorted(overlays))}
    choices = {key: value for key, value in plan.to_dict().items() if key not in NOT_REGISTERED}
    return {
        "plan": choices,
        "data": {letter: dict(digests) for letter, digests in data.items()},
        "phantom_generator": GENERATOR_VERSION,
        "configs": configs,
    }


def register(folder: str | Path, content: Mapping[str, Any], calibration: Mapping[str, Any] | None) -> dict[str, Any]:
    """Write the registration; the same again changes nothing.

    Args:
        folder: of the study.
        content: see `registered_content`.
        calibration: result of the calibration that the choices rest on.

    Raises:
        NotRegistered: something else is registered here.
    """
    path = Path(folder) / REGISTRATION_FILE
    known = read_registration(folder)
    if known is not None:
        refuse_changes(known, content)
        return known
    made = {
        "registered": datetime.now(UTC).isoformat(timespec="seconds"),
        "sha256": content_digest(content),
        "calibration": calibration,
        "content": dict(content),
    }
    save_json(path, made)
    return made


def read_registration(folder: str | Path) -> dict[str, Any] | None:
    """The registration of a study, None where there is none."""
    return load_json(Path(folder) / REGISTRATION_FILE)


def refuse_changes(registration: Mapping[str, Any] | None, content: Mapping[str, Any]) -> None:
    """Refuse to go on with something else than what is registered.

    Raises:
        NotRegistered: names every key that differs.
    """
    if registration is None:
        raise NotRegistered(
            "nothing is registered yet: run the stages calibration and registration first, or give "
            "--allow_unregistered True, which every table will say"
        )
    different = differences(registration["content"], content)
    if different:
        raise NotRegistered(
            f"the study differs from what was registered on {registration['registered']}: {'; '.join(different)}. Give "
            "a new output_dir for a new study, or --allow_unregistered True, which every table will say"
        )


def unregistered(folder: str | Path, content: Mapping[str, Any]) -> list[str]:
    """How the study differs from what is registered in its folder; empty when it does not."""
    registration = read_registration(folder)
    return ["nothing is registered"] if registration is None else differences(registration["content"], content)


def remember_changes(folder: str | Path, changed: Sequence[str]) -> None:
    """Note for good that units were run that are not as registered."""
    known = remembered_changes(folder)
    save_json(Path(folder) / UNREGISTERED_FILE, {"changes": list(dict.fromkeys([*known, *changed]))})


def remembered_changes(folder: str | Path) -> list[str]:
    """What `remember_changes` noted."""
    return (load_json(Path(folder) / UNREGISTERED_FILE) or {"changes": []})["changes"]


def differences(registered: Any, current: Any, where: str = "") -> list[str]:
    """Places at which two nested contents differ, as "key: old -> new"."""
    if isinstance(registered, Mapping) and isinstance(current, Mapping):
        keys = [*registered, *(key for key in current if key not in registered)]
        found = []
        for key in keys:
            found += differences(registered.get(key), current.get(key), f"{where}.{key}" if where else key)
        return found
    return [] if registered == current else [f"{where}: {registered!r} -> {current!r}"]


def content_digest(content: Mapping[str, Any]) -> str:
    """SHA-256 of the content, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _config_digest(path: Path) -> str:
    """SHA-256 of what a config says, not of how it is laid out."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return content_digest(content)
