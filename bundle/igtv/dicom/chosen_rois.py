"""ROIs of one object that a label, or a part of one, is made of."""

from collections.abc import Sequence
from dataclasses import dataclass

from .label_sources import LabelSource
from .roi_names import choose_roi


@dataclass(frozen=True)
class Chosen:
    """ROIs of one object."""

    source: LabelSource
    names: tuple[str, ...]

    def __str__(self) -> str:
        return f"{', '.join(map(repr, self.names))} of {self.source.name}"

    def is_same_as(self, other: "Chosen") -> bool:
        """By the object itself: comparing sources by value would compare whole headers."""
        return self.source is other.source and self.names == other.names


def rois_of(source: LabelSource, names: Sequence[str], options, kind: str) -> Chosen:
    """The target of one object.

    Args:
        source: the object.
        names: those of its ROIs that come into question.
        options: `roi`, `aliases` and `nodes` are used.
        kind: "igtv" or "gtv".

    Raises:
        AmbiguousRoi: several fit equally well.
        DicomError: none fits.
    """
    roi = choose_roi(names, kind=kind, roi=options.roi, aliases=options.aliases, nodes=options.nodes)
    return Chosen(source, (roi,) if isinstance(roi, str) else tuple(roi))
