import contextlib
import json
import math
import time

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from prefrl.metrics import (
    Metrics,
    Stopwatch,
    correlation,
    entering,
    peak_memory,
    process_memory,
    read_metrics,
)
from prefrl.run_directory import RunDirectory


@pytest.fixture
def run(tmp_path):
    return RunDirectory.create(tmp_path / "run")


def test_a_line_can_be_read_as_soon_as_it_is_written(run):
    with Metrics(run, "policy") as metrics:
        metrics.write({"b": 2, "a": np.float32(0.5)}, step=10)
        assert read_metrics(run.metrics / "policy.jsonl") == [{"step": 10, "a": 0.5, "b": 2.0}]


def test_lines_are_the_same_whatever_the_order_and_hold_no_clock(run):
    for process, values in (("one", {"a": 1.0, "b": 2.0}), ("two", {"b": 2.0, "a": 1.0})):
        with Metrics(run, process) as metrics:
            metrics.write(values, step=3)
            time.sleep(0.01)
            metrics.write(values, step=4)
    one, two = (run.metrics / f"{process}.jsonl" for process in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_clocks_go_to_a_file_of_their_own(run):
    before = time.time()
    with Metrics(run, "policy") as metrics:
        metrics.write_timing({"time/steps_per_s": 100.0}, step=5)
    (line,) = read_metrics(run.metrics / "timing-policy.jsonl")
    assert (line["step"], line["time/steps_per_s"]) == (5, 100.0)
    assert before <= line["wall_clock_s"] <= time.time()
    assert read_metrics(run.metrics / "policy.jsonl") == []


def test_nan_is_null_and_every_line_is_json(run):
    with Metrics(run, "reward") as metrics:
        metrics.write({"x": math.nan, "y": math.inf}, step=1)
    text = (run.metrics / "reward.jsonl").read_text()
    assert json.loads(text) == {"step": 1, "x": None, "y": None}
    assert "NaN" not in text


def test_tensorboard_shows_the_same_numbers(run):
    with Metrics(run, "reward") as metrics:
        metrics.write({"loss": 0.25}, step=1)
        metrics.write({"loss": 0.125}, step=2)
        metrics.write_timing({"memory": 8.0}, step=2)
    events = EventAccumulator(str(run.tensorboard / "reward")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(1, 0.25), (2, 0.125)]
    assert [(e.step, e.value) for e in events.Scalars("memory")] == [(2, 8.0)]


def test_a_torn_last_line_is_skipped_and_mended_when_the_run_goes_on(run):
    path = run.metrics / "policy.jsonl"
    with Metrics(run, "policy") as metrics:
        metrics.write({"a": 1.0}, step=1)
    with path.open("a") as file:
        file.write('{"step": 2, "a"')
    assert [line["step"] for line in read_metrics(path)] == [1]
    with Metrics(run, "policy") as metrics:
        metrics.write({"a": 3.0}, step=3)
    assert [line["step"] for line in read_metrics(path)] == [1, 3]


def test_damage_before_the_last_line_is_not_passed_over(run):
    run.metrics.mkdir()
    path = run.metrics / "policy.jsonl"
    path.write_text('{"step": 1\n{"step": 2}\n')
    with pytest.raises(json.JSONDecodeError):
        read_metrics(path)


def test_a_stopwatch_adds_up_phases_also_where_they_raise():
    stopwatch = Stopwatch()
    with stopwatch("predict"):
        time.sleep(0.01)
    with contextlib.suppress(KeyError), stopwatch("predict"):
        time.sleep(0.01)
        raise KeyError
    stopwatch.add("update", 2.0)
    stopwatch.add("update", 0.5)
    assert 0.02 <= stopwatch.seconds()["predict"] < 1
    assert stopwatch.seconds()["update"] == 2.5


def test_correlation_equals_numpys_and_is_nan_for_a_constant():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 4, 5)).astype(np.float32)
    assert correlation(a, b) == pytest.approx(np.corrcoef(a.ravel(), b.ravel())[0, 1], abs=1e-6)
    assert correlation(a, 3 * a + 1) == pytest.approx(1)
    assert math.isnan(correlation(a, np.ones_like(a)))


def test_what_enters_a_network_is_judged_by_what_varies_from_step_to_step():
    screen = np.random.default_rng(0).uniform(0, 1, (1, 8, 8))  # wide, and always the same
    steps = np.repeat(screen, 50, axis=0)
    steps[:, 0, 0] = np.arange(50) % 2
    figures = entering("policy/input", steps)
    assert figures["policy/input_max"] - figures["policy/input_min"] > 0.9
    assert figures["policy/input_deviation"] == pytest.approx(np.sqrt(0.25 / 64))


def test_memory_is_measured_in_bytes():
    assert 10 * 2**20 < process_memory() < 64 * 2**30
    assert peak_memory() >= 0.9 * process_memory()


def test_no_torch_is_imported(run_python):
    code = "import sys, prefrl.metrics, prefrl.labels.oracle; sys.exit('torch' in sys.modules)"
    assert run_python(code).returncode == 0


def test_lists_go_to_the_lines_and_not_to_tensorboard(run):
    with Metrics(run, "reward") as metrics:
        metrics.write({"bins": [[1, 0.5, math.nan]], "loss": 0.25}, step=1)
    (line,) = read_metrics(run.metrics / "reward.jsonl")
    assert line == {"step": 1, "bins": [[1, 0.5, None]], "loss": 0.25}
    events = EventAccumulator(str(run.tensorboard / "reward")).Reload()
    assert events.Tags()["scalars"] == ["loss"]
