"""Options of the app: `--conf name value` of MONAI Label, where every value is text."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from igtv.learning.gate import GateRule

BOUNDS = {  # lowest and highest; learning needs as many patients as the frozen set has
    "max_waiting": (0, 10_000),
    "wait_seconds": (0.1, 86_400.0),
    "max_upload_mb": (1.0, 1e6),
    "frozen_share": (0.01, 0.5),
    "gate_margin": (0.0, 1.0),
    "max_case_drop": (0.0, 1.0),
}
TRUE, FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}


@dataclass(frozen=True)
class AppOptions:
    """What a user of the app can set.

    Attributes:
        data_dir: folder for everything the app writes, see `lib.paths.data_folders`.
        device: `cpu`, `cuda`, `cuda:1`; empty: CUDA where there is one.
        warm_up: run the network once at start, so that the first request is not the slow one.
        max_waiting: requests that may wait for the network; one more is answered 503.
        wait_seconds: longest wait for the network in s, then 503.
        max_upload_mb: largest request body in MB (10^6 bytes).
        pretrained_model: checkpoint, with its model card, that a new data folder begins with; empty: the shipped one.
        frozen_set: datalist whose labelled cases are the frozen validation set; empty: a share of the labels.
        frozen_share: that share of the labelled patients.
        gate_margin: a candidate's mean Dice on the frozen set may be lower by this.
        max_case_drop: no frozen patient's Dice may fall by more, unless the mean rises clearly.
        pacs_certificate: PEM file that a PACS with https is trusted by; empty: the public authorities.
        pacs_password_over_http: send the PACS's password over http to another computer, where anybody on the way reads
            it: for a network that encrypts by itself.
        server_mode: set by MONAI Label for its own processes.
    """

    data_dir: str = ""
    device: str = ""
    warm_up: bool = True
    max_waiting: int = 8
    wait_seconds: float = 120.0
    max_upload_mb: float = 1000.0
    pretrained_model: str = ""
    frozen_set: str = ""
    frozen_share: float = 0.2
    gate_margin: float = GateRule.margin
    max_case_drop: float = GateRule.max_case_drop
    pacs_certificate: str = ""
    pacs_password_over_http: bool = False
    server_mode: bool = False

    @classmethod
    def from_conf(cls, conf: Mapping[str, Any] | None) -> "AppOptions":
        """Read the texts of MONAI Label.

        Raises:
            ValueError: for an unknown name, with the nearest one, or a value of the wrong kind or beyond its bounds.
        """
        kinds = {field.name: type(field.default) for field in fields(cls)}
        values = {}
        for name, value in dict(conf or {}).items():
            if name not in kinds:
                near = get_close_matches(name, kinds, n=1)
                hint = f"; did you mean '{near[0]}'?" if near else f"; there are {', '.join(kinds)}"
                raise ValueError(f"unknown option '--conf {name} {value}'{hint}")
            values[name] = _parsed(name, value, kinds[name])
            _check_range(name, values[name])
        return cls(**values)

    @property
    def data_path(self) -> Path | None:
        """The data folder, where one is given."""
        return Path(self.data_dir) if self.data_dir else None


def _parsed(name: str, value: Any, kind: type) -> Any:
    """`value` as `kind`."""
    if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        return value
    text = str(value).strip()
    if kind is bool:
        if text.lower() not in TRUE | FALSE:
            raise ValueError(f"option '{name}' is true or false, not '{value}'")
        return text.lower() in TRUE
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"option '{name}' must be {kind.__name__}, not '{value}'") from None


def _check_range(name: str, value: Any) -> None:
    low, high = BOUNDS.get(name, (None, None))
    if low is not None and not low <= value <= high:
        raise ValueError(f"option '{name}' is {value:g}; it lies between {low:g} and {high:g}")
