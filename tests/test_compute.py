import sys

import pytest

FAULTS = """
import resource, sys, torch
from prefrl.compute import keep_freed_memory

if sys.argv[1] == "kept":
    keep_freed_memory()
torch.ones(16_000_000)  # 64 MB
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(16_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no glibc")
def test_memory_that_was_freed_is_used_again_without_asking_the_system(run_python):
    given_back, kept = (int(run_python(FAULTS, how).stdout) for how in ("given back", "kept"))
    assert kept < given_back / 5


GIVEN_BACK = """
import numpy as np, psutil
from prefrl.compute import give_back_freed_memory, keep_freed_memory

keep_freed_memory()
process = psutil.Process()
large = [np.ones(25_000_000, np.uint8) for _ in range(8)]
kept = np.ones(100_000, np.uint8)  # behind them: the heap cannot just end earlier
del large
before = process.memory_info().rss
give_back_freed_memory()
print(before - process.memory_info().rss)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no glibc")
def test_memory_that_was_freed_is_given_back_when_told_so(run_python):
    assert int(run_python(GIVEN_BACK).stdout) > 150e6
