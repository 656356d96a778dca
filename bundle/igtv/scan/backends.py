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
MODULES = {
    "reference": "reference",
    "torch": "torch_backend",
    "numba": "numba_backend",
    "triton": "triton_backend",
    "mamba_ssm": "mamba_backend",
}
AUTOMATIC = {"cuda": ("mamba_ssm", "triton", "torch"), "cpu": ("numba", "torch")}
HOW_TO_GET = {
    "numba": "pip install numba",
    "triton": "install the CUDA build of torch for Linux, which brings triton",
    "mamba_ssm": "pip install mamba-ssm --no-build-isolation (needs the CUDA toolkit)",
}

logger = logging.getLogger(__name__)
_forced_name: str | None = None


def set_backend(name: str | None) -> None:
    """Force a back end for all calls of this process; None or "auto" returns to the automatic choice.

    Raises:
        ValueError: the name is unknown, or the back end cannot be used here.
    """
    global _forced_name
    name = None if name in (None, "auto") else name
    if name is not None:
        _usable(name)
    _forced_name = name


@functools.cache
def load_backend(name: str) -> tuple[ModuleType | None, str]:
    """The module of a back end, or None with the reason why it cannot be used."""
    try:
        return importlib.import_module(f".{MODULES[name]}", __package__), ""
    except Exception as error:  # a broken installation raises anything: OSError, RuntimeError, AttributeError
        return None, f"{type(error).__name__}: {error}".splitlines()[0]


def _usable(name: str) -> ModuleType:
    if name not in MODULES:
        raise ValueError(f"scan back end {name!r} is unknown, use one of {', '.join(MODULES)}, or auto")
    module, reason = load_backend(name)
    if module is None:
        raise ValueError(f"scan back end {name!r} cannot be used here ({reason}); {HOW_TO_GET.get(name, '')}")
    return module


@torch.compiler.assume_constant_result
def _choose(device_type: str, dtype: torch.dtype, requested: str | None) -> str:
    name = requested or _forced_name or os.environ.get(ENVIRONMENT_VARIABLE) or "auto"
    if name != "auto":
        _usable(name)
        return name
    return _automatic(device_type, dtype)


@functools.cache
def _automatic(device_type: str, dtype: torch.dtype) -> str:
    candidates = ("torch",) if dtype == torch.float64 else AUTOMATIC.get(device_type, ("torch",))
    name = next(candidate for candidate in candidates if load_backend(candidate)[0] is not None)
    faster = [candidate for candidate in candidates[: candidates.index(name)] if name == "torch"]
    message = f"selective scan on {device_type}: back end {name}"
    for missed in faster:
        message += f"; {missed} would be faster ({load_backend(missed)[1]}): {HOW_TO_GET[missed]}"
    logger.warning(message) if faster else logger.info(message)
    return name


def backend_for(device_type: str, dtype: torch.dtype, requested: str | None = None) -> ModuleType:
    """The module that computes the scan for tensors of this device and type.

    Raises:
        ValueError: a back end was asked for by name that is unknown or cannot be used here.
    """
    return load_backend(_choose(device_type, dtype, requested))[0]


def backend_report() -> dict:
    """What is used for fp32 on each device, and why the other back ends are not available: for log and manifest."""
    devices = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
    return {
        "chosen": {device: _choose(device, torch.float32, None) for device in devices},
        "forced": _forced_name or os.environ.get(ENVIRONMENT_VARIABLE),
        "unavailable": {name: load_backend(name)[1] for name in MODULES if load_backend(name)[0] is None},
    }
