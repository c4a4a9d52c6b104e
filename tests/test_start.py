"""A run's own records, from before it has a name to what is left of it; nothing is trained."""

import dataclasses
import json
import threading
from multiprocessing import Pipe
from types import SimpleNamespace

import pytest

from prefrl import start
from prefrl.config import Config
from prefrl.launcher import Outcome, _Child, _Watch
from prefrl.run_directory import RunDirectory
from prefrl.run_status import status_of
from prefrl.start import RunRequest, gather

TRACEBACK = """Traceback (most recent call last):
  File "x.py", line 1, in <module>
ZeroDivisionError: \ud800 the 500th step
"""


@pytest.fixture
def run(tmp_path) -> RunDirectory:
    return RunDirectory(tmp_path / "run")


@pytest.fixture
def begin(run, monkeypatch):
    """Starts a run whose processes end at once, in this way."""

    def gathered(outcome: Outcome, *warnings: str) -> int:
        def launch(_targets, _assignment, display, ours, _page):
            vars(ours).update(vars(outcome))
            for warning in warnings:
                display.warn(warning)

        monkeypatch.setattr(start, "launch", launch)
        config = dataclasses.replace(Config(), precision="float32", device="cpu")
        return gather(config, RunRequest(None, run.path, ""))

    return gathered


def test_a_policy_no_better_than_a_random_one_is_called_so_in_the_last_line(begin, capsys):
    returns = {"mean": -67.04, "sd": 4.0, "min": -70.0, "max": -60.0, "episodes": 20}
    begin(Outcome(summary={"true_return": returns, "random_return": {**returns, "mean": -66.0}}))
    assert capsys.readouterr().out.splitlines()[-1] == (
        "warning: not clearly better than a random policy: a true return of -67.0 against -66.0"
    )


def test_labels_that_taught_nobody_are_told_from_those_that_nobody_gave(begin, capsys):
    returns = {"mean": -67.0, "sd": 4.0, "min": -70.0, "max": -60.0, "episodes": 20}
    evaluated = {"true_return": returns, "random_return": {**returns, "mean": -90.0}}
    begin(Outcome(summary=evaluated | {"labels": 190, "labels_unused": 13}))
    warnings = [line for line in capsys.readouterr().out.splitlines() if "warning" in line]
    assert warnings == [
        "warning: 10 of 200 labels were never given",
        "warning: 3 of 200 labels came too late to teach",
    ]


def test_a_run_is_never_seen_as_lost_while_it_starts(run, begin, monkeypatch):
    seen = []

    def look(name, original):
        def looking(*arguments):
            seen.append((name, run.config.exists(), status_of(run).state))
            return original(*arguments)

        monkeypatch.setattr(start, name, looking)

    for name in ("write_json", "provenance", "write_source", "_make_store", "write_settings"):
        look(name, getattr(start, name))
    begin(Outcome())
    assert {name for name, _, _ in seen} == {
        "write_json", "provenance", "write_source", "_make_store", "write_settings",
    }  # fmt: skip
    before_the_end = seen[:-1] if seen[-1][0] == "write_json" else seen
    assert {state for _, _, state in before_the_end} == {"running"}
    assert not seen[0][1]  # before its configuration made it a run


def test_the_log_tells_start_warnings_failure_and_end(run, begin):
    assert begin(Outcome("failed", 1, traceback=TRACEBACK, wall_s=3.25), "clips dropped") == 1
    lines = run.log.read_text().splitlines()
    assert [line.partition("  ")[2] for line in lines] == [
        "started: gather",
        "warning: clips dropped",
        "Traceback (most recent call last):",
        '    File "x.py", line 1, in <module>',
        "  ZeroDivisionError: \\ud800 the 500th step",
        "failed after 3.2 s, exit code 1",
    ]
    assert "log.txt" in run.end.read_text()
    assert json.loads(run.result.read_text())["error"] == "ZeroDivisionError: \ud800 the 500th step"


def test_the_launcher_says_that_a_run_goes_on_while_nothing_is_new(run):
    receiver, sender = Pipe(duplex=False)
    child = _Child(SimpleNamespace(name="policy"), receiver)
    status = SimpleNamespace(beat=lambda: sender.send(("finished", {})))  # the child's only word
    stop = threading.Event()
    stop.set()  # so that this ends in any case
    _Watch(stop, Outcome(), None, status).until_all_have_reported({"policy": child})
    assert child.reported
