"""Choice of the code that computes the scan: by device and availability, or forced by name.

Precedence: the `backend` argument of a call, then `set_backend`, then the environment variable IGTV_SCAN_BACKEND,
then automatic: mamba_ssm, triton, torch on CUDA; numba, torch elsewhere; torch for fp64.
"""

import functools
import importlib
import logging
import os
from types import ModuleType

import torch

ENVIRONMENT_VARIABLE = "IGTV_SCAN_BACKEND"
AUTO = "auto"
MODULES = {
    "reference": "reference",
    "torch": "torch_backend",
    "numba": "numba_backend",
    "triton": "triton_backend",
    "mamba_ssm": "mamba_backend",
}
AUTOMATIC = {"cuda": ("mamba_ssm", "triton", "torch"), "cpu": ("numba", "torch")}
ONLY_DEVICE = {"numba": "cpu", "triton": "cuda", "mamba_ssm": "cuda"}
HOW_TO_GET = {
    "numba": "pip install numba",
    "triton": "install the CUDA build of torch for Linux, which brings triton",
    "mamba_ssm": "pip install mamba-ssm --no-build-isolation (needs the CUDA toolkit)",
}

logger = logging.getLogger(__name__)
_forced_name: str | None = None
_loaded: dict[str, ModuleType] = {}


def set_backend(name: str | None) -> None:
    """Force a back end for all calls of this process; None or "auto" returns to the automatic choice.

    Raises:
        ValueError: the name is unknown, or the back end cannot be used here.
    """
    global _forced_name
    name = None if name == AUTO else name
    if name is not None:
        _named(name)
    _forced_name = name


@functools.cache
def load_backend(name: str) -> tuple[ModuleType | None, str]:
    """The module of a back end, or None with the reason why it cannot be imported."""
    try:
        _loaded[name] = importlib.import_module(f".{MODULES[name]}", __package__)
        return _loaded[name], ""
    except Exception as error:  # a broken installation raises anything: OSError, RuntimeError, AttributeError
        return None, _first_line(error)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _named(name: str) -> ModuleType:
    """The back end of that name, or an error that says what to do."""
    if name not in MODULES:
        raise ValueError(f"scan back end {name!r} is unknown, use auto or one of {', '.join(MODULES)}")
    module, reason = load_backend(name)
    if module is None:
        raise ValueError(f"scan back end {name!r} cannot be used here ({reason}): {HOW_TO_GET.get(name, '')}")
    return module


@functools.cache
def _trial(name: str, device_type: str) -> str:
    """Run a back end once on a small input; the reason why it does not work here, or nothing."""
    module, reason = load_backend(name)
    if module is None:
        return reason
    try:
        ones = torch.ones(1, 3, 1, device=device_type)  # one direction, pixel, channel and state: ranks, B and C
        one = ones[:, :1]
        with torch.no_grad():  # the form that the network uses: another one would be compiled for nothing
            module.selective_scan_2d(one[None], ones, one, one[0], -one[0], one[0, 0])
    except Exception as error:  # a missing compiler, an old driver, a processor the kernels do not know
        return _first_line(error)
    return ""


@functools.cache
def _automatic(device_type: str, dtype: torch.dtype) -> str:
    """The first back end of the device's list that works; says in the log which, and how to get a faster one."""
    candidates = ("torch",) if dtype == torch.float64 else AUTOMATIC.get(device_type, ("torch",))
    load_backend("torch")
    message = ""
    for name in candidates:
        if name == "torch" or not _trial(name, device_type):
            break
        message += f"; {name} is not usable ({_trial(name, device_type)}), to get it: {HOW_TO_GET[name]}"
    logger.log(
        logging.WARNING if name == "torch" else logging.INFO,
        f"selective scan on {device_type}: back end {name}{message}",
    )
    return name


@torch.compiler.assume_constant_result  # torch.compile decides once, at compile time
def _choose(device_type: str, dtype: torch.dtype, requested: str | None) -> str:
    name = requested or _forced_name or os.environ.get(ENVIRONMENT_VARIABLE) or AUTO
    if name == AUTO:
        return _automatic(device_type, dtype)
    _named(name)
    device = ONLY_DEVICE.get(name, device_type)
    if device != device_type and not (name == "triton" and os.environ.get("TRITON_INTERPRET") == "1"):
        raise ValueError(f"scan back end {name!r} computes on {device}, but the tensors are on {device_type}: use auto")
    return name


def backend_for(device_type: str, dtype: torch.dtype, requested: str | None = None) -> ModuleType:
    """The module that computes the scan for tensors of this device and type.

    Raises:
        ValueError: a back end was asked for by name that is unknown or cannot be used here.
    """
    return _loaded[_choose(device_type, dtype, requested)]


def backend_report() -> dict:
    """What computes fp32 scans on each device, and what cannot and why: for the log and the run manifest.

    Returns:
        {"chosen": {device: name}, "forced": name or None, "unavailable": {name: reason}}.
    """
    devices = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
    forced = _forced_name or os.environ.get(ENVIRONMENT_VARIABLE)
    forced = None if forced == AUTO else forced
    reasons = {name: load_backend(name)[1] for name in MODULES}
    return {
        "chosen": {device: forced or _automatic(device, torch.float32) for device in devices},
        "forced": forced,
        "unavailable": {name: reason for name, reason in reasons.items() if reason},
    }
