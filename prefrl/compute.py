"""Where and in which number format the networks compute."""

import ctypes
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from prefrl.config import Config, ConfigError
from prefrl.cores import compute_on

if TYPE_CHECKING:
    import torch

# Of malloc.h, for `mallopt`.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def fast_format() -> Literal["float32", "bfloat16"]:
    """`bfloat16` where the processor has the instructions for it, else `float32`.

    With them convolutions were 1.6 to 4 times as fast, by the processor; without, bfloat16 can be
    slower than float32.
    """
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return "float32"
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "").split()
    return "bfloat16" if {"avx512_bf16", "amx_bf16"} & set(flags) else "float32"


def dtype_of(precision: str) -> "torch.dtype":
    """The number format of that name."""
    import torch

    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def keep_freed_memory() -> None:
    """Let the C library keep what is freed, where it is glibc, for the next tensor.

    By itself it takes tensors of over 32 MB from the system and gives them back each time, and the
    system clears every page anew: on a virtual machine that is half the time of a training step.
    """
    mallopt = _of_the_c_library("mallopt")
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def give_back_freed_memory() -> None:
    """Let the system have what is free now: after a piece of work, not within one.

    Clips that live long come to lie in the holes of tensors that do not, and the next tensors lie
    behind them: without this a process grows for as long as clips come.
    """
    trim = _of_the_c_library("malloc_trim")
    if trim is not None:
        trim(0)


def _of_the_c_library(name: str) -> Any:
    """The function, or None where it is not glibc that has it."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None


@dataclass(frozen=True)
class Placement:
    """Where the two kinds of networks live, and the number format of their convolutions."""

    policy: "torch.device"
    predictor: "torch.device"
    autocast: "torch.dtype"

    def __str__(self) -> str:
        """As the start of a run says it."""
        where = str(self.policy)
        if self.predictor != self.policy:
            where += f", the predictor's on {self.predictor}"
        return f"{where}, convolutions (if any) in {str(self.autocast).removeprefix('torch.')}"


def without_gpu(config: Config) -> Config:
    """The same with all networks on the processor, where a saved policy plays in any case."""
    return replace(config, device="cpu", predictor=replace(config.predictor, device="same"))


def prepare(config: Config) -> Placement:
    """Fix the thread count of this process; the devices and number format it computes with.

    Raises:
        ConfigError: A GPU was asked for and there is none.
    """
    import torch

    # Each of the two processes has one of two cores, as far as the other does not leave its own.
    compute_on(1)
    keep_freed_memory()
    has_gpu = torch.cuda.is_available()
    policy, predictor = config.device, config.predictor.device
    for option, device in (("--device", policy), ("--predictor.device", predictor)):
        if device == "cuda" and not has_gpu:
            raise ConfigError(f"{option} cuda: torch sees no GPU here; use {option} cpu")
    if policy == "auto":
        policy = "cuda" if has_gpu else "cpu"
    return Placement(
        torch.device(policy),
        torch.device(policy if predictor == "same" else predictor),
        dtype_of(config.precision),
    )
