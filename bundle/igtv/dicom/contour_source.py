"""Who or what drew a contour, as RTSTRUCT and SEG carry it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

MANUFACTURER = "IGTV bundle (research software)"
ALGORITHMS = ("AUTOMATIC", "SEMIAUTOMATIC", "MANUAL")
LONG_STRING = 64  # characters of a DICOM LO


@dataclass(frozen=True)
class ContourSource:
    """The origin of a mask.

    Args:
        algorithm: AUTOMATIC for a network's mask, SEMIAUTOMATIC once somebody has corrected it, MANUAL.
        model: name of the model; "" for a mask of unknown origin.
        version: of this bundle.
        weights_sha256: of the checkpoint, 64 hexadecimal digits.
        model_version: of the model, where it has several, such as "v0003".
    """

    algorithm: str = "AUTOMATIC"
    model: str = ""
    version: str = "unknown"
    weights_sha256: str = ""
    model_version: str = ""

    def __post_init__(self) -> None:
        if self.algorithm not in ALGORITHMS:
            raise ValueError(f"algorithm is '{self.algorithm}'; it must be one of {', '.join(ALGORITHMS)}.")

    @classmethod
    def of_model(cls, model: Mapping[str, Any] | None, version: str, algorithm: str = "AUTOMATIC") -> "ContourSource":
        """From a manifest's entries `model` (name, sha256) and `versions.bundle`."""
        model = model or {}
        return cls(algorithm, str(model.get("name") or ""), str(version), str(model.get("sha256") or ""))

    def sentence(self) -> str:
        """For descriptions of free text."""
        model = f"{self.model} {self.model_version}".strip()
        parts = [model or "mask of unknown origin", f"igtv bundle {self.version}"]
        if self.weights_sha256:
            parts.append(f"weights SHA-256 {self.weights_sha256}")
        return ascii_text(", ".join(parts))

    def name(self) -> str:
        """Name of the algorithm: the model's with its version, for which a long name makes room."""
        version = long_string(f" {self.model_version}".rstrip())
        return ascii_text(self.model or "unknown")[: LONG_STRING - len(version)] + version

    def parameters(self) -> dict[str, str]:
        return {"weights_sha256": self.weights_sha256} if self.weights_sha256 else {}

    def identification(self) -> Dataset:
        """Item of an Algorithm Identification Sequence (PS3.3 table 10-19)."""
        family = Dataset()
        family.CodeValue = codes.DCM.ArtificialIntelligence.value
        family.CodingSchemeDesignator = codes.DCM.ArtificialIntelligence.scheme_designator
        family.CodeMeaning = codes.DCM.ArtificialIntelligence.meaning
        item = Dataset()
        item.AlgorithmFamilyCodeSequence = [family]
        item.AlgorithmName = self.name()
        item.AlgorithmVersion = long_string(self.version)
        item.AlgorithmSource = MANUFACTURER
        if self.parameters():
            item.AlgorithmParameters = ", ".join(f"{key}={value}" for key, value in self.parameters().items())
        return item


def ascii_text(text: str) -> str:
    """Text that every character set holds; a backslash would separate values."""
    return text.encode("ascii", "replace").decode().replace("\\", "/")


def long_string(text: str) -> str:
    """Text of a DICOM LO."""
    return ascii_text(text)[:LONG_STRING]
