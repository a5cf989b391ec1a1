"""What there is to train on, found without torch."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_DRIVER: Final = Path("/proc/driver/nvidia/gpus")

# Dense bf16 operations a second, as NVIDIA's data sheets give them; of training, some four tenths are reached.
_PEAKS: Final = {
    "B200": 2250e12, "H200": 989e12, "H100": 989e12, "L40S": 362e12, "A100": 312e12, "4090": 165e12, "A10": 125e12,
    "L4": 121e12, "3090": 71e12, "V100": 125e12, "T4": 65e12,
}  # fmt: skip
_REACHED_ON_GPU: Final = 0.4
_SIDE: Final = 512  # of the matrices that are multiplied to find out


@dataclass(frozen=True)
class Machine:
    """What trains.

    Attributes:
        name: of the GPU, or "CPU".
        gpu: whether it is one.
        rate: operations a second that multiplying in training may reach; None where the GPU is not known here.
    """

    name: str
    gpu: bool
    rate: float | None


def machine_at_hand() -> Machine:
    """The first GPU that the driver names and the environment does not hide; the CPU where there is none."""
    name = _gpu()
    if name is None:
        return Machine("CPU", gpu=False, rate=_multiplications())
    peak = next((peak for word, peak in _PEAKS.items() if word in name), None)
    return Machine(name, gpu=True, rate=None if peak is None else _REACHED_ON_GPU * peak)


def _gpu() -> str | None:
    if os.environ.get("CUDA_VISIBLE_DEVICES", "all") in ("", "-1"):
        return None
    for file in sorted(_DRIVER.glob("*/information")):
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("Model:"):
                return line.removeprefix("Model:").strip()
    return None


def _multiplications() -> float:
    """Operations a second of the CPU, measured on float32 matrices in a few hundredths of a second."""
    import numpy as np

    matrix = np.ones((_SIDE, _SIDE), dtype=np.float32)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        matrix @ matrix
        times.append(time.perf_counter() - start)
    return float(2 * _SIDE**3 / min(times))
