"""Two versions of a model side by side."""

from typing import Any

from .model_version import ModelVersion


def compare_versions(first: ModelVersion, second: ModelVersion) -> dict[str, Any]:
    """Status, data and settings of two versions and, case by case, their Dice on the frozen set.

    Returns:
        Names with lists of two, `first`'s value before `second`'s; `cases`, `data` and `settings` say what the two
        have in common and what differs.
    """
    versions = (first, second)
    dice_first, dice_second = (version.metrics.get("cases", {}) for version in versions)
    learned_first, learned_second = ({entry["case"] for entry in version.data} for version in versions)
    return {
        "versions": [version.label for version in versions],
        "names": [version.card.get("name") for version in versions],
        "status": [version.status for version in versions],
        "sha256": [version.sha256 for version in versions],
        "dice": [version.metrics.get("dice") for version in versions],
        "same_frozen_set": first.metrics.get("frozen_sha256") == second.metrics.get("frozen_sha256"),
        "same_masks": first.metrics.get("masks") == second.metrics.get("masks"),
        "cases": [
            {"case": case, "dice": [dice_first.get(case), dice_second.get(case)]}
            for case in sorted(set(dice_first) | set(dice_second))
        ],
        "data": {
            "both": len(learned_first & learned_second),
            "only_first": sorted(learned_first - learned_second),
            "only_second": sorted(learned_second - learned_first),
        },
        "settings": _other_settings(first, second),
    }


def _other_settings(first: ModelVersion, second: ModelVersion) -> dict[str, list[Any]]:
    """Settings that differ; none where one of the two names no settings."""
    ours, theirs = (version.manifest.get("settings", {}) for version in (first, second))
    if not ours or not theirs:
        return {}
    keys = sorted(set(ours) | set(theirs))
    return {key: [ours.get(key), theirs.get(key)] for key in keys if ours.get(key) != theirs.get(key)}
