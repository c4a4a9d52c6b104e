"""How many cores each process of a run computes on."""

import pytest

THREADS = """
import sys, torch
from pathlib import Path
from types import SimpleNamespace
from prefrl import compute, processes
from prefrl.config import Config, LabelConfig

compute.prepare(Config())
compute._usable_cores = lambda: int(sys.argv[2])
label = LabelConfig(labeler=sys.argv[1])
policy_waits = processes._take_its_core(SimpleNamespace(config=Config(label=label)))
for waits in (False, True, True, False):
    policy_waits(waits)
    print(torch.get_num_threads())
"""


@pytest.mark.parametrize(
    ("labeler", "cores", "threads"),
    [
        ("oracle", 16, [1, 2, 2, 1]),
        ("oracle", 1, [1, 1, 1, 1]),
        ("human", 16, [1, 1, 1, 1]),  # the page needs it
    ],
)
def test_the_reward_process_takes_the_core_of_a_policy_that_waits(
    run_python, labeler, cores, threads
):
    printed = run_python(THREADS, labeler, str(cores)).stdout
    assert list(map(int, printed.split())) == threads
