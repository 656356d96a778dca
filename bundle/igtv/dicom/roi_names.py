"""Which ROI is the target: names as clinics give them, after TG-263 (AAPM 2018, Mayo et al. 2018)."""

import fnmatch
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from ..configuration.one_text import one_text
from .errors import DicomError

LOGGER = logging.getLogger(__name__)

KINDS = ("igtv", "gtv")
IGNORE = "ignore"  # key of an alias file: names never chosen

# what may stand before the target's name: side and lobe
_BEFORE = r"^(?:(?:l|r|left|right|lul|lll|rul|rml|rll)_)*"
# tiers of names, the best first; a later tier is looked at only when the earlier ones hold nothing
_TIERS = {
    "igtv": (
        ("IGTV", r"i_?gtv"),
        ("GTV on the MIP", r"gtv_?(?:mip|4d)"),
        ("ITV", r"itv"),
        ("GTV", r"gtv"),
        ("tumour", r"tumou?r|lesion"),
    ),
    "gtv": (("GTV", r"gtv(?!_?(?:mip|4d))"), ("tumour", r"tumou?r|lesion")),
}
_IGTV = "|".join(pattern for _, pattern in _TIERS["igtv"][:3])  # names that say that the breathing is in it
# targets with margins, help structures of the optimisation, and volumes taken off each other
_NEVER = re.compile(r"ptv|ctv|prv|ring|shell|rind|opt|avoid|dummy|crop|dose|minus|ohne|margin|expan|\d ?mm|\+ ?\d")
# "ITV - GTV", "ITV_not_GTV": a target less another structure; what may follow a hyphen otherwise is a lobe or a number
_STRUCTURE = (
    r"(?:i[\s_-]?gtv|gtv|itv|(?:ctv|ptv|tumou?r|lung(?:s|e|en)?|hearts?|herz|bronch(?:us|i)|trachea|o?esophagus|aorta|"
    r"vessels?|spinal|cord|spine|vertebrae?|chest[\s_-]?wall|ribs?|bones?|liver|diaphragm|air|necrosis|cavity|body|skin)"
    r"(?![a-z]))"
)
_DIFFERENCE = re.compile(
    r"(?:gtv|itv|tumou?r|lesion).*?(?:[-\u2010-\u2015\u2212]|(?:(?<![a-z])|(?<=[gi]tv))(?:sub|not|without|w/?o))"
    r"[\s_.()\[\]]*(?:(?:l|r|lt|rt|left|right|both)[\s_.]+)?" + _STRUCTURE
)
_HELP_PREFIX = re.compile(r"^[\s]*[z_~]", re.IGNORECASE)  # TG-263: not evaluated when a name starts with z or _
_TARGET = r"(?:i_?gtv|gtv|itv|tumou?r|lesion)"
_NODE_AFTER = re.compile(
    _BEFORE
    + _TARGET
    + r"_?(?:[pt]?_?(?:and|\+|&)?_?)n(?:\d|_|$|d(?:\d|_|$)|ode|odal)|"
    + r"(?:^|_)(?:ln|lymph|node|nodal|nodes)"
)
_NODE_GLUED = re.compile(_BEFORE + _TARGET + r"(?:ln|lymph|node|nodal)")
_BED = re.compile(_BEFORE + _TARGET + r"_?(?:sb(?:_|\d|$)|.*bed(?:_|$))")


class AmbiguousRoi(DicomError):
    """Several ROIs fit equally well: for the user to settle, where no hit may be made good by another object."""


@dataclass(frozen=True)
class Standing:
    """What the rules say of a name alone.

    Attributes:
        igtv: the tier that it is chosen from as igtv, such as "ITV"; "" where it is not.
        gtv: the same as gtv.
        node: whether it is a nodal volume, chosen when asked for.
        says_igtv: as `is_igtv`.
    """

    igtv: str
    gtv: str
    node: bool
    says_igtv: bool

    @property
    def eligible(self) -> bool:
        """Whether any rule chooses it."""
        return bool(self.igtv or self.gtv or self.node)


def choose_roi(
    names: Sequence[str],
    kind: str = "igtv",
    roi: str | Sequence[str] | None = None,
    aliases: str | Path | Mapping[str, Sequence[str]] | None = None,
    nodes: bool = False,
) -> str | list[str]:
    """Choose the ROI that holds the target; never silently between two.

    For `igtv` the first of these that exists: IGTV*, GTV_MIP* (GTV_4D*), ITV*, GTV* (GTVp*), tumour*; for `gtv`: GTV*
    (GTVp*), tumour*. Case and separators do not matter. Never chosen: PTV, CTV, rings, help structures (z..., _...,
    ..opt), margins, differences such as ITV-GTV or Lungs-GTV, tumour beds; nodes (GTVn, LN) only when asked for.

    Args:
        names: of the ROIs that have contours.
        kind: "igtv" or "gtv".
        roi: the name or names wanted, exactly or with `*` and `?`; goes before every rule.
        aliases: YAML file or mapping {"igtv": [names], "gtv": [names], "ignore": [names]}, with `*` and `?`; names
            under the kind go before the rules, those under `ignore` are never chosen.
        nodes: also take the nodal volumes.

    Returns:
        The name; a list of names when `nodes` is set or `roi` is a list.

    Raises:
        AmbiguousRoi: when two names fit equally well; it names them and the option `--roi`.
        DicomError: when nothing fits; it names what there is.
        ValueError: for an unknown kind or a malformed alias file.
    """
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; it must be one of {', '.join(KINDS)}")
    if roi is not None:
        return _named(names, roi)
    table = read_aliases(aliases)
    allowed = [name for name in names if not matches(name, table.get(IGNORE, ()))]
    primary = _primary(names, allowed, kind, table.get(kind, ()), optional=nodes)
    if not nodes:
        LOGGER.info("ROI %r chosen as %s among: %s", primary[0], kind, _listed(names))
        return primary[0]
    nodal = [name for name in allowed if name not in primary and _is_node(name) and not _is_excluded(name)]
    if not primary + nodal:
        raise _nothing(names, kind)
    LOGGER.info("ROIs %s chosen as %s with nodes among: %s", _listed(primary + nodal), kind, _listed(names))
    return primary + nodal


def is_igtv(name: str, aliases: str | Path | Mapping[str, Sequence[str]] | None = None) -> bool:
    """Whether a ROI's name says IGTV: an alias does, or IGTV*, ITV*, GTV_MIP*, GTV_4D*, also after a side or lobe.

    Args:
        name: of the ROI.
        aliases: as in `choose_roi`.
    """
    patterns = read_aliases(aliases).get("igtv", ())
    return matches(name, patterns) or _starts_with(name, _IGTV)


def standing(name: str) -> Standing:
    """What the rules, without aliases, say of a ROI's name alone."""
    excluded, node = _is_excluded(name), _is_node(name)
    igtv, gtv = (
        next((what for what, pattern in _TIERS[kind] if _starts_with(name, pattern)), "") for kind in ("igtv", "gtv")
    )
    if excluded or node:
        igtv = gtv = ""
    return Standing(igtv, gtv, node and not excluded, is_igtv(name))


def _primary(
    names: Sequence[str], allowed: Sequence[str], kind: str, patterns: Sequence[str], optional: bool
) -> list[str]:
    """The one target that is no node, as a list; an empty one only where there need be none."""
    hits, what = [name for name in allowed if matches(name, patterns)], "an alias"
    candidates = [name for name in allowed if not _is_excluded(name) and not _is_node(name)]
    for what_tier, pattern in _TIERS[kind] if not hits else ():
        hits = [name for name in candidates if _starts_with(name, pattern)]
        what = what_tier
        if hits:
            break
    if len(hits) > 1:
        raise AmbiguousRoi(
            f'{len(hits)} ROIs could be the {kind} ({what}): {_listed(hits)}; choose with --roi "{hits[0]}", or '
            f'--roi "{list(hits)}" for their union'
        )
    if not hits and not optional:
        raise _nothing(names, kind)
    return hits


def _nothing(names: Sequence[str], kind: str) -> DicomError:
    return DicomError(
        f"no ROI is named as {kind}; there are: {_listed(names) or 'none'}; choose with --roi or an alias file"
    )


def _named(names: Sequence[str], roi: str | Sequence[str]) -> str | list[str]:
    """Names that the user asked for."""
    if isinstance(roi, tuple) and one_text(roi) in names:
        roi = one_text(roi)  # of a name with commas
    if not isinstance(roi, list | tuple):
        found = _one_pattern(names, str(roi))
        if len(found) > 1:
            raise AmbiguousRoi(
                f"--roi {roi!r} fits {len(found)} ROIs: {_listed(found)}; give one of them, or a list of them"
            )
        return found[0]
    if not roi:
        raise DicomError("--roi is an empty list")
    return list(dict.fromkeys(name for one in _patterns(roi) for name in _one_pattern(names, one)))


def _one_pattern(names: Sequence[str], pattern: str) -> list[str]:
    """Names that are the pattern, else those equal but for case and separators, else those that it fits."""
    plain = "" if set("*?") & set(pattern) else _normalised(pattern).replace("_", "")  # GTV* is not GTV alone
    rules = (
        lambda name: name == pattern,
        lambda name: _normalised(name).replace("_", "") == plain != "",
        lambda name: matches(name, [pattern]),
    )
    for rule in rules:
        found = [name for name in names if rule(name)]
        if found:
            return found
    raise DicomError(f"no ROI is named {pattern!r} (--roi); there are: {_listed(names) or 'none'}")


def is_named(name: str, roi: str | Sequence[str] | None) -> bool:
    """Whether the user's choice of ROIs names this one, but for case and separators; `*` and `?` name nobody.

    Args:
        name: of the ROI.
        roi: as in `choose_roi`.
    """
    plain = _normalised(name).replace("_", "")
    patterns = [one for one in _patterns(roi) if not set("*?") & set(one)]
    return any(name == one or plain == _normalised(one).replace("_", "") != "" for one in patterns)


def _patterns(roi: str | Sequence[str] | None) -> list[str]:
    """The user's choice as a list of texts; a command line makes a tuple of "GTV,5", and a number of "5"."""
    if roi is None:
        return []
    return [str(one) for one in roi] if isinstance(roi, list | tuple) else [str(roi)]


def read_aliases(aliases: str | Path | Mapping[str, Sequence[str]] | None) -> Mapping[str, Sequence[str]]:
    """Aliases as a mapping of lists, from a file or from a mapping; {} without any.

    Raises:
        ValueError: they are no such mapping.
    """
    if aliases is None:
        return {}
    where = "aliases"
    if isinstance(aliases, str | Path):
        where = Path(aliases).name
        try:
            aliases = yaml.safe_load(Path(aliases).read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise ValueError(f"{where} is no YAML: {error}") from error
    known = (*KINDS, IGNORE)
    if not isinstance(aliases, Mapping) or set(aliases) - set(known):
        raise ValueError(f"{where} must map {', '.join(known)} to lists of names")
    table = {key: [value] if isinstance(value, str) else list(value or ()) for key, value in aliases.items()}
    wrong = [one for values in table.values() for one in values if not isinstance(one, str)]
    if wrong:
        raise ValueError(f"{where} holds {wrong[0]!r} where a name is expected; put it in quotes")
    return table


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a ROI's name fits one of some aliases, `*` and `?` allowed, whatever the case."""
    return any(fnmatch.fnmatchcase(name.strip().lower(), pattern.strip().lower()) for pattern in patterns)


def _normalised(name: str) -> str:
    """Lower case, every run of separators one underscore."""
    return re.sub(r"[^a-z0-9+&]+", "_", name.strip().lower()).strip("_")


def _starts_with(name: str, pattern: str) -> bool:
    return re.match(_BEFORE + f"(?:{pattern})", _normalised(name)) is not None


def _is_excluded(name: str) -> bool:
    lowered = name.strip().lower()
    said = _NEVER.search(lowered) or _DIFFERENCE.search(lowered)
    return bool(_HELP_PREFIX.match(name) or said or _BED.match(_normalised(name)))


def _is_node(name: str) -> bool:
    normalised = _normalised(name)
    return bool(_NODE_AFTER.search(normalised) or _NODE_GLUED.match(normalised))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)
