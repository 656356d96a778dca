"""Selective scan with back ends for CPU and CUDA: `selective_scan`, its fused form over a map, and the choice."""

from .backends import backend_report, set_backend
from .operators import selective_scan, selective_scan_2d

__all__ = ["backend_report", "selective_scan", "selective_scan_2d", "set_backend"]
