import json
import os
import platform
import subprocess
import sys
import time

import pytest

from prefrl.run_directory import RunDirectory, write_json
from prefrl.run_status import (
    BEAT_EVERY_S,
    FITTING,
    SILENT_S,
    WAITING,
    StatusFile,
    is_alive,
    status_of,
    this_process,
)


@pytest.fixture
def run(tmp_path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "run")


def test_a_run_that_goes_on_says_what_it_does_and_how_far_it_is(run):
    file = StatusFile(run)
    assert (status_of(run).state, status_of(run).doing) == ("running", "starting")
    file.update({"policy": "learning", "env_steps": 4})
    status = status_of(run)
    assert (status.state, status.doing, status.figures["env_steps"]) == ("running", "learning", 4)


def test_a_policy_without_a_reward_waits_for_labels_or_for_the_reward_to_be_fitted(run):
    file = StatusFile(run)
    file.update({"policy": WAITING, "reward": "looking for answers"})
    assert status_of(run).doing == WAITING
    file.update({"reward": FITTING})
    assert status_of(run).doing == FITTING
    file.update({"policy": "learning"})
    assert status_of(run).doing == "learning"


def test_figures_alone_do_not_write_the_file_again_and_again(run):
    file = StatusFile(run)
    file.update({"policy": "learning"})
    before = run.status.stat().st_mtime_ns
    for step in range(100):
        file.update({"env_steps": step})
    assert run.status.stat().st_mtime_ns == before


def test_a_run_that_ended_has_the_status_of_its_result(run):
    StatusFile(run)
    for state in ("finished", "stopped", "failed"):
        write_json(run.result, {"status": state, "labels": 3})
        assert (status_of(run).state, status_of(run).figures["labels"]) == (state, 3)


def test_a_run_whose_process_died_is_lost(run):
    code = """
import sys
from pathlib import Path
from prefrl.run_directory import RunDirectory
from prefrl.run_status import StatusFile
StatusFile(RunDirectory(Path(sys.argv[1]))).update({"policy": "learning", "labels": 7})
"""
    subprocess.run([sys.executable, "-c", code, str(run.path)], check=True)
    status = status_of(run)
    assert (status.state, status.doing, status.figures["labels"]) == ("lost", "", 7)


def test_a_run_on_another_machine_goes_on_while_it_is_heard_from(run, monkeypatch):
    StatusFile(run)
    record = json.loads(run.status.read_text())
    elsewhere = {**record, "machine": "other", "process": 2**22 + 1}
    write_json(run.status, elsewhere)
    assert status_of(run).state == "running"
    for written_at in (time.time() - SILENT_S - 1, None, "x", 10**400):
        write_json(run.status, {**elsewhere, "written_at": written_at})
        assert status_of(run).state == "lost"
    # Here the process itself is looked for, however long it has been silent.
    write_json(run.status, {**record, "written_at": 0.0})
    assert status_of(run).state == "running"


def test_another_container_is_another_machine(monkeypatch):
    here = this_process()["machine"]
    monkeypatch.setattr(os, "readlink", lambda _: "pid:[4026532999]")
    assert this_process()["machine"] != here
    monkeypatch.setattr(platform, "node", lambda: "other")
    assert this_process()["machine"] == "other pid:[4026532999]"


def test_a_run_without_news_is_heard_from_all_the_same(run, monkeypatch):
    file = StatusFile(run)
    before = run.status.read_bytes()
    file.beat()
    assert run.status.read_bytes() == before
    later = time.monotonic() + BEAT_EVERY_S
    monkeypatch.setattr(time, "monotonic", lambda: later)
    file.beat()
    assert run.status.read_bytes() != before


def test_another_process_of_the_same_number_is_not_taken_for_the_run():
    record = this_process()
    assert is_alive(record)
    assert not is_alive({**record, "process_started_at": record["process_started_at"] - 100})


@pytest.mark.parametrize("text", ["", "{", "[]", '{"process": "x"}', '{"process": -1}'])
def test_a_status_that_cannot_be_read_is_one_of_a_lost_run(run, text):
    run.status.write_text(text)
    assert status_of(run).state == "lost"
