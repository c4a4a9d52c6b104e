"""How many cores each process of a run computes on."""

import multiprocessing
import time
from types import SimpleNamespace

import pytest
from placements import ON_CPU
from policy_side import FakeLink, Silent

from prefrl import processes
from prefrl.config import Config, EnvConfig, LabelConfig, PolicyConfig
from prefrl.metrics import Metrics
from prefrl.policy import between_rollouts
from prefrl.policy.loop import PolicyLoop
from prefrl.run_directory import RunDirectory
from prefrl.wires import QueueToReward, Wires

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


def make_wires() -> Wires:
    context = multiprocessing.get_context("spawn")
    events = [context.Event() for _ in range(3)]
    return Wires(None, *events, context.Queue(), context.Queue())  # type: ignore[arg-type]


@pytest.mark.parametrize(("labeler", "free"), [("oracle", True), ("human", False)])
def test_a_reward_process_that_rests_leaves_its_core_to_the_policy(monkeypatch, labeler, free):
    wires, seen = make_wires(), []
    link = QueueToReward(wires)
    monkeypatch.setattr(time, "sleep", lambda seconds: seen.append(link.core_is_free()))
    processes._rest(SimpleNamespace(config=Config(label=LabelConfig(labeler=labeler))), wires)
    assert [*seen, link.core_is_free()] == [free, False]


@pytest.mark.parametrize(("reward", "free"), [("true", True), ("learned", False)])
def test_on_the_true_reward_both_cores_are_the_policys(monkeypatch, reward, free):
    wires = make_wires()
    monkeypatch.setattr(processes, "_guarded", lambda wires, work: None)
    processes.policy_process(SimpleNamespace(config=Config(reward=reward)), wires)
    assert QueueToReward(wires).core_is_free() == free


def test_a_policy_takes_a_free_core_between_its_rollouts_and_not_within_them(tmp_path, monkeypatch):
    taken, free = [], iter([False, True, True])
    monkeypatch.setattr(between_rollouts, "compute_on", taken.append)
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
    assert taken == [*rollout, 1, *rollout, 2, *rollout, 2]
