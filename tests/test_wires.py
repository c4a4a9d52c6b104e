import math
import multiprocessing
import time
from dataclasses import replace
from typing import Any

from prefrl.wires import PAIRS_AT_ONCE, Flag, QueueToPolicy, QueueToReward, Wires

CONTEXT = multiprocessing.get_context("spawn")


def wires(pairs: Any) -> Wires:
    unused: Any = None
    return Wires(unused, unused, unused, unused, pairs, CONTEXT.Queue())


def test_the_queues_depth_is_all_that_waits_and_not_what_is_taken_at_once():
    between = wires(CONTEXT.Queue(PAIRS_AT_ONCE + 3))
    policy, reward = QueueToReward(between), QueueToPolicy(between)
    pair: Any = "a pair"
    taken = [policy.offer(pair) for _ in range(PAIRS_AT_ONCE + 4)]
    assert taken == [True] * (PAIRS_AT_ONCE + 3) + [False]
    assert reward.waiting() == PAIRS_AT_ONCE + 3
    received, deadline = 0, time.monotonic() + 20
    while received < PAIRS_AT_ONCE + 3:  # a thread of the queue's writes them into the pipe
        assert time.monotonic() < deadline
        some = len(reward.receive())
        assert some <= PAIRS_AT_ONCE
        received += some
        assert reward.waiting() == PAIRS_AT_ONCE + 3 - received


def test_where_the_system_does_not_count_the_depth_is_not_known():
    class Uncounted:
        def qsize(self) -> int:
            raise NotImplementedError

    assert math.isnan(QueueToPolicy(replace(wires(None), pairs=Uncounted())).waiting())  # type: ignore[arg-type]


def set_it(flag: Flag, answer: Flag) -> None:
    """In another process."""
    if flag.is_set():
        answer.set()


def test_a_flag_is_seen_in_another_process_and_what_that_sets_is_seen_here():
    flag, answer = Flag(), Flag()
    flag.set()
    process = CONTEXT.Process(target=set_it, args=(flag, answer))
    process.start()
    process.join(60)
    assert answer.is_set()
    answer.clear()
    assert not answer.is_set()
