"""How many cores each process of a run computes on."""

import multiprocessing
import os
import sys
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest
from placements import ON_CPU
from policy_side import FakeLink, Silent

from prefrl import cores, launcher, processes
from prefrl.config import Config, EnvConfig, PolicyConfig
from prefrl.cores import (
    JUDGED_S,
    LEFT_ALONE_S,
    SPINS,
    KeptApart,
    SecondCore,
    limit_spinning,
    own_threads,
)
from prefrl.metrics import Metrics, Stopwatch
from prefrl.policy import loop as policy_loop
from prefrl.policy.loop import PolicyLoop
from prefrl.run_directory import RunDirectory
from prefrl.wires import Flag, InlineLink, QueueToPolicy, QueueToReward, Wires

THREADS = """
import sys, torch
from pathlib import Path
from types import SimpleNamespace
from prefrl import compute, cores, processes
from prefrl.config import Config, LabelConfig

compute.prepare(Config())
cores.usable_cores = lambda: int(sys.argv[2])
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


def true_reward_loop(
    env_id: str, steps: int, link: FakeLink, run: RunDirectory, metrics: Metrics
) -> PolicyLoop:
    """A policy that learns in rollouts of two environments and four steps."""
    config = Config(
        env=EnvConfig(id=env_id), reward="true", total_timesteps=steps,
        policy=PolicyConfig(n_envs=2, n_steps=4, batch_size=8),
    )  # fmt: skip
    return PolicyLoop(
        config, run, link, lambda snapshot: None, 0, ON_CPU, metrics, Silent(), lambda: False
    )


def test_a_policy_takes_a_free_core_between_its_rollouts_and_not_within_them(tmp_path, monkeypatch):
    taken: list[Any] = []
    monkeypatch.setattr(cores, "compute_on", taken.append)
    link = FakeLink()
    link.core_is_free = lambda: taken.count("step") > 4  # from the second rollout on
    run = RunDirectory(tmp_path)
    with Metrics(run, "policy") as metrics:
        loop = true_reward_loop("Pendulum-v1", 24, link, run, metrics)
        within = loop.venv.step
        loop.venv.step = lambda actions: taken.append("step") or within(actions)
        loop.reward.wait_for_overdue_labels = lambda: taken.append("wait")
        loop.learn()
    loop.venv.close()
    rollout = [1, "wait", *["step"] * 4]  # what it waits is not taken for a core that is shared
    # It is evaluated on one, as it will be again from its checkpoint.
    assert taken == [*rollout, 1, *rollout, 2, *rollout, 2, 1]


class Clock:
    """Seconds that pass, and of how many cores they are this process's."""

    def __init__(self) -> None:
        self.perf, self.process = 100.0, 1.0

    def perf_counter(self) -> float:
        return self.perf

    def process_time(self) -> float:
        return self.process

    def go_on(self, seconds: float, of_cores: float) -> None:
        self.perf += seconds
        self.process += seconds * of_cores


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(cores, "time", clock)
    return clock


@pytest.fixture
def threads(monkeypatch):
    threads: list[int] = []
    monkeypatch.setattr(cores, "compute_on", threads.append)
    return threads


def stretches(core: SecondCore, clock: Clock, n: int, got: float) -> None:
    """Stretches of a second in which the process takes the second core, with as long between."""
    for _ in range(n):
        core.take()
        clock.go_on(1, got)
        core.leave()
        clock.go_on(1, 1.0)


def test_a_second_core_that_is_really_there_is_kept(clock, threads):
    stretches(SecondCore(lambda: True), clock, 50, got=1.7)
    assert threads == [2, 1] * 50


def test_a_second_core_that_something_else_computes_on_is_left_alone_for_a_while(clock, threads):
    core = SecondCore(lambda: True)
    stretches(core, clock, int(JUDGED_S), got=1.3)
    assert threads == [2, 1] * int(JUDGED_S)
    threads.clear()
    stretches(core, clock, int(LEFT_ALONE_S / 2), got=1.0)
    assert threads == [1, 1] * int(LEFT_ALONE_S / 2)
    threads.clear()
    stretches(core, clock, 10, got=1.8)
    assert threads == [2, 1] * 10


def test_the_run_s_own_other_process_is_no_reason_to_leave_a_core_alone(clock, threads):
    free = [True]
    core = SecondCore(lambda: free[0])
    for _ in range(10):
        core.take()
        clock.go_on(2 * JUDGED_S, 1.0)
        free[0] = False  # it came back meanwhile
        core.leave()
        free[0] = True
    assert threads == [2, 1] * 10


def test_a_core_taken_again_and_again_is_judged_too(clock, threads):
    core = SecondCore(lambda: True)
    for _ in range(5):  # as the reward process does, between minibatches
        core.take()
        clock.go_on(JUDGED_S / 2, 1.0)
    assert threads == [2, 2, 1, 1, 1]


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux alone binds threads to cores")


@pytest.fixture
def places(monkeypatch) -> dict[int, set[int]]:
    """Cores of each thread that was given some, on a machine whose process may use 3 and 7."""
    places: dict[int, set[int]] = {}
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 7})
    monkeypatch.setattr(os, "sched_setaffinity", places.__setitem__)
    return places


@on_linux
def test_threads_keep_to_a_core_each_while_both_are_this_process_s(clock, threads, places):
    free = [False]
    core = SecondCore(lambda: free[0], {12, 11})
    core.take()
    core.leave()
    assert places == {}
    free[0] = True
    core.take()
    core.leave()
    assert places == {11: {3}, 12: {7}}  # within the rollout too
    free[0] = False
    core.take()
    assert places == {11: {3, 7}, 12: {3, 7}}


@on_linux
def test_threads_are_let_go_where_something_else_computes_on_their_cores(clock, threads, places):
    core = SecondCore(lambda: True, {11, 12})
    stretches(core, clock, int(JUDGED_S), got=1.7)
    assert places == {11: {3}, 12: {7}}
    stretches(core, clock, int(JUDGED_S) + 1, got=1.0)
    assert places == {11: {3, 7}, 12: {3, 7}}


@on_linux
@pytest.mark.parametrize(
    ("cores", "players"), [({0, 1, 2}, {11, 12}), ({0}, {11, 12}), ({0, 1}, {11}), ({0, 1}, set())]
)
def test_others_than_two_threads_on_two_cores_are_where_the_system_wants_them(
    places, monkeypatch, cores, players
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: cores)
    KeptApart(players).keep(apart=True)
    assert places == {}


@on_linux
def test_threads_are_let_go_to_the_cores_that_there_are_by_then(places, monkeypatch):
    kept = KeptApart({11, 12})
    kept.keep(apart=True)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 4, 5})
    kept.keep(apart=False)
    assert places == {11: {3, 4, 5}, 12: {3, 4, 5}}


@on_linux
def test_a_core_that_is_not_to_be_had_is_not_worth_a_run(places, monkeypatch):
    def refuse(thread: int, cores: set[int]) -> None:
        raise OSError(22, "Invalid argument")

    kept = KeptApart({11, 12})
    kept.keep(apart=True)
    with monkeypatch.context() as patched:
        patched.setattr(os, "sched_setaffinity", refuse)
        kept.keep(apart=False)
        kept.keep(apart=True)
    kept.keep(apart=False)
    assert places == {11: {3, 7}, 12: {3, 7}}


@on_linux
@pytest.mark.skipif(cores.usable_cores() < 2, reason="there are no two cores")
def test_real_threads_are_bound_to_a_core_each_and_let_go():
    over, ids = threading.Event(), []
    waiting = [threading.Thread(target=over.wait) for _ in range(2)]
    all_cores = os.sched_getaffinity(0)
    two = set(sorted(all_cores)[:2])
    try:
        for thread in waiting:
            thread.start()
            ids.append(thread.native_id)
        os.sched_setaffinity(0, two)
        kept = KeptApart(ids)
        kept.keep(apart=True)
        bound = [os.sched_getaffinity(thread) for thread in ids]
        kept.keep(apart=False)
        assert sorted(map(sorted, bound)) == [[core] for core in sorted(two)]
        assert [os.sched_getaffinity(thread) for thread in ids] == [two, two]
    finally:
        os.sched_setaffinity(0, all_cores)
        over.set()


@on_linux
def test_the_threads_of_a_policy_s_games_are_known(tmp_path, monkeypatch):
    given: list[set[int]] = []

    def second_core(is_free: Any, players: set[int]) -> SecondCore:
        given.append(players & own_threads())
        return SecondCore(is_free)

    monkeypatch.setattr(policy_loop, "SecondCore", second_core)
    run = RunDirectory(tmp_path)
    with Metrics(run, "policy") as metrics:
        loop = true_reward_loop("ALE/Pong-v5", 8, FakeLink(), run, metrics)
        loop.learn()
    loop.venv.close()
    assert len(given[0]) == min(2, os.cpu_count() or 1)
    end = time.monotonic() + 5  # Linux forgets a thread some time after it was waited for
    while given[0] & own_threads() and time.monotonic() < end:
        time.sleep(0.01)
    assert not given[0] & own_threads()


@pytest.mark.parametrize(
    ("told", "spins"),
    [
        ({}, str(SPINS)),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
        ({"OMP_WAIT_POLICY": "passive"}, None),
    ],
)
def test_threads_that_wait_sleep_soon_unless_told_otherwise(monkeypatch, told, spins):
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")  # so that what is set meanwhile is undone
        monkeypatch.delenv(name)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    limit_spinning()
    assert os.environ.get("GOMP_SPINCOUNT") == spins


def test_the_processes_of_a_run_are_started_so(monkeypatch, tmp_path):
    said = []
    monkeypatch.setattr(launcher, "limit_spinning", lambda: said.append("limited"))
    assignment = SimpleNamespace(config=Config(), run_path=tmp_path)
    launcher.launch({}, assignment, None, launcher.Outcome())  # type: ignore[arg-type]
    assert said == ["limited"]
