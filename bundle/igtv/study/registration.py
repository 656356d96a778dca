"""Pre-registration: what is fixed before an arm is run, and the refusal to go on with anything else."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..files import write_json
from ..learning.work import CONFIGS_DIR
from ..phantom.breathing_settings import BREATHING_VERSION
from ..phantom.settings import GENERATOR_VERSION
from .plan import StudyPlan
from .sources import sources_digests
from .store import content_digest, load_json

REGISTRATION_FILE, UNREGISTERED_FILE = "registration.json", "unregistered.json"
CONFIGS = ("train.json", "finetune.json", "inference.json", "simulate_breathing.json")
# stages whose results would be looked at before the rules, were they there when the rules are registered
AFTER_REGISTRATION = ("tuning", "arms", "test")
# answers are measured with them, but they change no result
NOT_REGISTERED = ("scale",)


class NotRegistered(ValueError):
    """The study is not what was registered, or nothing was registered."""


def registered_content(
    plan: StudyPlan, data: Mapping[str, Mapping[str, str]], configs_dir: Path = CONFIGS_DIR
) -> dict[str, Any]:
    """Everything a result depends on: plan, images and labels, generators, configs, sources of the package.

    Args:
        plan: of the study.
        data: per branch, the digests of `StudyData.digest`.
        configs_dir: configs that the study runs with.
    """
    overlays = {content["overlay"] for content in plan.architectures.values() if content.get("overlay")}
    choices = {key: value for key, value in plan.to_dict().items() if key not in NOT_REGISTERED}
    return {
        "plan": choices,
        "data": {home: dict(digests) for home, digests in data.items()},
        "phantom_generator": GENERATOR_VERSION,
        "breathing_generator": BREATHING_VERSION,
        "configs": {name: _config_digest(Path(configs_dir) / name) for name in (*CONFIGS, *sorted(overlays))},
        "sources": sources_digests(),
    }


def register(folder: str | Path, content: Mapping[str, Any], calibration: Mapping[str, Any] | None) -> dict[str, Any]:
    """Write the registration, or add data sets that it does not have yet; the same again changes nothing.

    Args:
        folder: of the study.
        content: see `registered_content`.
        calibration: result of the calibration that the choices rest on.

    Raises:
        NotRegistered: something else is registered here, or arms have been run on what is to be registered.
    """
    path, known = Path(folder) / REGISTRATION_FILE, read_registration(folder)
    registered = {} if known is None else known["content"]["data"]
    new = [home for home in content["data"] if home not in registered]
    if known is not None:
        refuse_changes(known, {**content, "data": {k: v for k, v in content["data"].items() if k in registered}})
    for home in new:
        done = [stage for stage in AFTER_REGISTRATION if any((Path(folder) / home / stage).rglob("result.json"))]
        if done:
            raise NotRegistered(
                f"{home} has results of {', '.join(done)} already: nothing can be registered after its results. "
                "Give a new output_dir"
            )
    if not new and known is not None:
        return known
    now = datetime.now(UTC).isoformat(timespec="seconds")
    whole = {**content, "data": {**registered, **content["data"]}}
    made = {
        "registered": now if known is None else known["registered"],
        "data_registered": {**({} if known is None else known["data_registered"]), **dict.fromkeys(new, now)},
        "sha256": content_digest(whole),
        "calibration": calibration if known is None else known["calibration"],
        "content": whole,
    }
    write_json(path, made)
    return made


def read_registration(folder: str | Path) -> dict[str, Any] | None:
    """The registration of a study, None where there is none."""
    return load_json(Path(folder) / REGISTRATION_FILE)


def refuse_changes(registration: Mapping[str, Any] | None, content: Mapping[str, Any]) -> None:
    """Refuse to go on with something else than what is registered; registered data left out this time do not count.

    Raises:
        NotRegistered: names every key that differs.
    """
    if registration is None:
        raise NotRegistered(
            "nothing is registered yet: run the stages calibration and registration first, or give "
            "--allow_unregistered True, which every table will say"
        )
    different = _changes(registration, content)
    if different:
        raise NotRegistered(
            f"the study differs from what was registered on {registration['registered']}: {'; '.join(different)}. Give "
            "a new output_dir for a new study, or --allow_unregistered True, which every table will say"
        )


def unregistered(folder: str | Path, content: Mapping[str, Any]) -> list[str]:
    """How the study differs from what is registered in its folder; empty when it does not."""
    registration = read_registration(folder)
    return ["nothing is registered"] if registration is None else _changes(registration, content)


def _changes(registration: Mapping[str, Any], content: Mapping[str, Any]) -> list[str]:
    """Differences in what both have, and data sets that are not registered."""
    known = registration["content"]["data"]
    new = [
        f"data.{home} is not registered: run the stage registration" for home in content["data"] if home not in known
    ]
    common = {home: digests for home, digests in known.items() if home in content["data"]}
    present = {home: digests for home, digests in content["data"].items() if home in known}
    return differences({**registration["content"], "data": common}, {**content, "data": present}) + new


def remember_changes(folder: str | Path, changed: Sequence[str]) -> None:
    """Note for good that units were run that are not as registered."""
    known = remembered_changes(folder)
    write_json(Path(folder) / UNREGISTERED_FILE, {"changes": list(dict.fromkeys([*known, *changed]))})


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


def _config_digest(path: Path) -> str:
    """SHA-256 of what a config says, not of how it is laid out."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return content_digest(content)
