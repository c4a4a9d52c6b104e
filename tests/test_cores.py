"""How many cores each process of a run computes on."""

import multiprocessing
from types import SimpleNamespace
from typing import Any

import pytest
from placements import ON_CPU
from policy_side import FakeLink, Silent

from prefrl import processes
from prefrl.config import Config, EnvConfig, PolicyConfig
from prefrl.metrics import Metrics, Stopwatch
from prefrl.policy import between_rollouts
from prefrl.policy import loop as loop_module
from prefrl.policy.loop import PolicyLoop
from prefrl.run_directory import RunDirectory
from prefrl.wires import Flag, InlineLink, QueueToPolicy, QueueToReward, Wires

THREADS = """
import sys, torch
from pathlib import Path
from types import SimpleNamespace
from prefrl import compute, processes
from prefrl.config import Config, LabelConfig

compute.prepare(Config())
compute.usable_cores = lambda: int(sys.argv[2])
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


def make_wires() -> Wires:
    context = multiprocessing.get_context("spawn")
    flags = [Flag() for _ in range(3)]
    return Wires(None, *flags, context.Queue(), context.Queue())  # type: ignore[arg-type]


def test_the_reward_process_leaves_its_core_and_takes_it_back():
    wires = make_wires()
    policy, reward = QueueToReward(wires), QueueToPolicy(wires)
    seen = [policy.core_is_free()]
    for free in (True, True, False):
        reward.leave_core(free)
        seen.append(policy.core_is_free())
    assert seen == [False, True, True, False]


def test_inline_a_run_keeps_to_one_core():
    link = InlineLink()
    link.leave_core(True)
    assert link.core_is_free() is False


def test_the_reward_process_is_told_of_a_policy_that_waits_and_tells_when_it_rests(monkeypatch):
    wires, told = make_wires(), []
    given = {}

    class Loop:
        stopwatch = Stopwatch()

        def turn(self) -> bool:
            return False

        def leave_core(self) -> None:
            wires.learned.set()
            told.append("leaves it")

        def leave_queries(self, more_clips_come: Any) -> None: ...

    def reward_loop(assignment, wires, link, stopped, policy_waits) -> Loop:
        given["takes"] = policy_waits
        return Loop()

    monkeypatch.setattr(processes, "_reward_loop", reward_loop)
    monkeypatch.setattr(processes, "_reward_summary", lambda loop: {})
    monkeypatch.setattr(processes, "_take_its_core", lambda assignment: told.append)
    monkeypatch.setattr(processes, "_guarded", lambda wires, work: work())
    processes.reward_process(SimpleNamespace(config=Config()), wires)
    assert told == ["leaves it"]
    assert given["takes"] == told.append


@pytest.mark.parametrize(("reward", "free"), [("true", True), ("learned", False)])
def test_on_the_true_reward_both_cores_are_the_policys(monkeypatch, reward, free):
    wires = make_wires()
    monkeypatch.setattr(processes, "_guarded", lambda wires, work: None)
    processes.policy_process(SimpleNamespace(config=Config(reward=reward)), wires)
    assert QueueToReward(wires).core_is_free() == free


def test_a_policy_takes_a_free_core_between_its_rollouts_and_not_within_them(tmp_path, monkeypatch):
    taken, free = [], iter([False, True, True])
    for module in (between_rollouts, loop_module):
        monkeypatch.setattr(module, "compute_on", taken.append)
    link = FakeLink()
    link.core_is_free = lambda: next(free)
    config = Config(
        env=EnvConfig(id="Pendulum-v1"), reward="true", total_timesteps=24,
        policy=PolicyConfig(n_envs=2, n_steps=4, batch_size=8),
    )  # fmt: skip
    with Metrics(RunDirectory(tmp_path), "policy") as metrics:
        loop = PolicyLoop(
            config, RunDirectory(tmp_path), link, lambda snapshot: None, 0, ON_CPU,
            metrics, Silent(), lambda: False,
        )  # fmt: skip
        within = loop.venv.step
        loop.venv.step = lambda actions: taken.append("step") or within(actions)
        loop.learn()
    loop.venv.close()
    rollout = [1, *["step"] * 4]
    # It is evaluated on one, as it will be again from its checkpoint.
    assert taken == [*rollout, 1, *rollout, 2, *rollout, 2, 1]
