"""The label page beside a run and on its own, from the command line, asked over HTTP."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
from http_person import HttpPerson, judged
from labelled_run import make_run
from many_people import invite_all
from scripted_person import ScriptedPerson
from training import PREFRL, Training, check_nothing_left, wait_for

from prefrl.cli import main
from prefrl.labels.oracle import Oracle
from prefrl.labels.store import LabelStore
from prefrl.labels.teachers import Teacher
from prefrl.run_directory import write_json
from prefrl.run_status import this_process
from prefrl.types import Label

SMALL = [
    "moving-dot-position", "--labeler", "human", "--labels", "24", "--total-timesteps", "12000",
    "--label.initial-fraction", "0.5", "--predictor.pretrain-epochs", "5",
    "--evaluation-episodes", "2", "--port", "0",
]  # fmt: skip


def link_of(training: Training, whose: str = "label here") -> str:
    """The link that was printed."""
    found: list[str] = []

    def printed() -> bool:
        found[:] = re.findall(rf"{whose}: (http\S+)", training.out)
        return bool(found)

    wait_for(printed, 30, training)
    return found[0]


@pytest.fixture
def visit() -> Iterator[Callable[[str], HttpPerson]]:
    """Opens links; everybody leaves after the test."""
    people: list[HttpPerson] = []

    def opened(link: str) -> HttpPerson:
        people.append(HttpPerson(link))
        return people[-1]

    yield opened
    for person in people:
        person.leave()


def answer_all(person: HttpPerson, training: Training, budget: int) -> None:
    """Answer what is asked, until the budget is used."""

    def answered() -> bool:
        for pair in person.lease():
            person.answer(pair["query"], "left")
        return person.status()["given"] >= budget

    wait_for(answered, 60, training)


def test_a_run_is_taught_by_a_person_from_the_first_label_to_the_last(train, visit):
    training = train(*SMALL)
    person = visit(link_of(training))
    wait_for(lambda: person.status()["activity"] == "waiting", 30, training)
    assert person.status()["given"] == 0
    answer_all(person, training, 24)
    assert training.end(within_s=90) == 0, training.err
    result = training.result
    assert (result["status"], result["labels"], result["labels_unused"]) == ("finished", 24, 0)
    assert result["snapshots"] >= 2
    assert result["true_return"]["episodes"] == 2
    check_nothing_left(training)
    with LabelStore.open(training.path / "labels.sqlite3") as store:
        labels = store.labels()
        assert {label.labeler for label in labels} == {"owner"}
        assert all(label.time_to_answer_s == 1.0 for label in labels)


def test_a_page_that_dies_is_served_again_at_the_same_place_and_no_answer_is_lost(train, visit):
    training = train(*SMALL)
    link = link_of(training)
    person = visit(link)
    wait_for(lambda: len(person.lease()) == 4, 30, training)
    first, second, *_ = person.lease()
    person.answer(first["query"], "left")
    before = page_process(training)
    before.kill()
    again = visit(link)  # waits at the door: the launcher holds the port
    assert page_process(training).pid != before.pid
    assert again.status()["given"] == 1
    assert training.process.poll() is None
    os.kill(training.process.pid, signal.SIGTERM)
    assert training.end(within_s=10) == 143
    assert "the label page had died and was started again" in training.out
    check_nothing_left(training)
    assert second["query"]


def page_process(training: Training) -> psutil.Process:
    record = json.loads((training.path / "page.json").read_text())
    return psutil.Process(record["process"])


@pytest.mark.alone
def test_a_stopped_run_can_be_labelled_to_the_end_and_its_labels_train_another(
    train, visit, tmp_path
):
    training = train(*SMALL)
    person = visit(link_of(training))
    wait_for(person.lease, 30, training)  # the first clips are there, and no more of them
    person.answer(person.lease()[0]["query"], "right")
    person.release()
    os.kill(training.process.pid, signal.SIGINT)
    assert training.end(within_s=10) == 130
    assert f"prefrl label {training.path}" in training.out
    with serving(training.path) as links:
        later = visit(links[0])
        while pairs := later.lease():
            assert later.picture(pairs[0]["left"]["sheets"][0]).startswith(b"\x89PNG")
            for pair in pairs:
                later.answer(pair["query"], "left")
        assert later.status() | {"answers_per_hour": 0} == {
            "given": 24, "budget": 24, "answers_per_hour": 0, "seconds_left": 0, "ready": 0,
            "activity": "stopped",
        }  # fmt: skip
    arguments = [argument for argument in SMALL if argument not in ("--port", "0")]
    done = subprocess.run(
        [PREFRL, "train", *arguments, "--labels-from", training.path, "--port", "0",
         "--run-dir", tmp_path / "second"], capture_output=True, text=True, timeout=90, check=True,
    )  # fmt: skip
    result = json.loads((tmp_path / "second" / "result.json").read_text())
    assert (result["status"], result["labels"]) == ("finished", 24), done.stdout


@contextmanager
def serving(run: Path, *arguments: str, port: int | None = 0) -> Iterator[list[str]]:
    """`prefrl label RUN`; yields the links that it prints."""
    where = [] if port is None else ["--port", str(port)]
    with subprocess.Popen(
        [PREFRL, "label", run, *where, *arguments], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        wanted, links = 2 if "--invite" in arguments else 1, []
        for line in process.stdout:
            links += re.findall(r"http\S+", line)
            if len(links) == wanted:
                break
        try:
            yield links
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(timeout=10)
        assert code == 143


@pytest.fixture(scope="module")
def queries(tmp_path_factory) -> Path:
    """A run with queries on clips of a random policy, for people, and no training."""
    run = tmp_path_factory.mktemp("runs") / "gathered"
    done = subprocess.run(
        [PREFRL, "gather", "moving-dot-position", "--labeler", "human", "--labels", "12",
         "--run-dir", run], capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert f"prefrl label {run}" in done.stdout
    return run


@pytest.fixture
def gathered(queries, tmp_path) -> Path:
    """A copy of it to be labelled."""
    return Path(shutil.copytree(queries, tmp_path / "gathered"))


def test_labels_can_be_given_first_and_by_somebody_who_was_invited(gathered, visit):
    with serving(gathered, "--invite", "ben", "--overlap", "2") as (owners, bens):
        owner, ben = visit(owners), visit(bens)
        query = owner.lease(1)[0]["query"]
        owner.answer(query, "left")
        assert ben.lease(1)[0]["query"] == query
        ben.answer(query, "equal")
        assert main(["label", str(gathered), "--revoke", "ben"]) == 0
        with pytest.raises(RuntimeError, match="401"):
            ben.lease(1)
        owner.lease(1)
    with LabelStore.open(gathered / "labels.sqlite3") as store:
        assert {label.labeler for label in store.labels()} == {"owner", "ben"}
        assert store.counts().answered == 1


def test_where_no_pair_will_ever_wait_there_is_no_page(tmp_path, capsys):
    made = make_run(tmp_path / "dot", pairs=0)
    made.store.close()
    assert main(["label", str(made.path), "--port", "0", "--invite", "ben"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "its clips have no pictures; `prefrl replay" in err
    assert "`prefrl gather ENV --labeler human` many" in err


def test_a_run_for_people_that_has_no_pair_yet_is_served(tmp_path):
    made = make_run(tmp_path / "dot", pairs=0, labeler="human")
    made.store.close()
    assert "the run has made none yet" in first_line_of_label(made.path)


def first_line_of_label(run: Path) -> str:
    """What `prefrl label` says first; it is ended then."""
    with subprocess.Popen(
        [PREFRL, "label", run, "--port", "0"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.terminate()
    return line


def test_where_no_pair_waits_the_owner_is_told_what_makes_some(tmp_path):
    made = make_run(tmp_path / "dot", pairs=1)
    (query,) = made.queries
    made.store.add_labels([Label("l", query.id, "owner", "left", 1e9, 1.5, query.left)])
    made.store.close()
    line = first_line_of_label(made.path)
    assert line.startswith("0 pairs of clips wait for an answer: ")
    assert f"prefrl replay {made.path} --view" in line


def test_twenty_people_at_once_lose_no_answer_and_no_pair_gets_more_than_two(gathered, visit):
    confirmed: list[str] = []
    end = time.monotonic() + 60

    def work(person: HttpPerson) -> None:
        while len(confirmed) < 24 and time.monotonic() < end:
            for query in person.fetch(1):
                assert person.answer(query, "left") == {"stored": True, "repeated": False}
                confirmed.append(query)
            time.sleep(0.05)

    with serving(gathered, "--overlap", "2") as (link,):
        people = [visit(one) for one in (link, *invite_all(gathered, link))]
        with ThreadPoolExecutor(len(people)) as pool:
            for done in [pool.submit(work, person) for person in people]:
                done.result()
    with LabelStore.open(gathered / "labels.sqlite3") as store:
        labels = store.labels()
    by_query = Counter(label.query_id for label in labels)
    assert by_query == Counter(confirmed)
    assert set(by_query.values()) == {2}
    assert len({(label.query_id, label.labeler) for label in labels}) == len(labels) == 24
    assert len(people) == 20


def test_a_simulated_teacher_answers_on_the_page_as_it_would_in_the_training(gathered, visit):
    teacher, rng = Teacher(), np.random.default_rng(0)
    with serving(gathered) as links, LabelStore.open(gathered / "labels.sqlite3") as store:
        person = visit(links[0])
        while pairs := person.lease():
            for pair in pairs:
                person.answer(pair["query"], judged(pair, store, teacher, rng))
        answered = {label.query_id: label.answer for label in store.labels()}
        oracle = Oracle(np.random.default_rng(1))
        for query in store.pending("oracle"):
            clips = store.clips((query.left, query.right))
            said = oracle.answer(query, clips[query.left], clips[query.right])
            assert answered[query.id] == said.answer
        assert len(answered) >= 12


def test_somebody_is_invited_to_a_page_that_is_served_already(gathered, visit, capsys):
    with serving(gathered) as (owners,):
        wait_until_served(gathered)
        assert main(["label", str(gathered), "--invite", "ben"]) == 0
        (bens,) = re.findall(r"http\S+", capsys.readouterr().out)
        assert bens.partition("?")[0] == owners.partition("?")[0]
        assert visit(bens).lease(1)
        assert visit(owners).lease(1)  # their own link goes on
        assert main(["label", str(gathered)]) == 2
        assert "served already, on port" in capsys.readouterr().err


def test_a_page_is_served_again_where_it_was(gathered, visit):
    with serving(gathered) as (before,):
        wait_until_served(gathered)
    with serving(gathered, port=None) as (after,):
        assert visit(after).lease(1)
        assert after.partition("?")[0] == before.partition("?")[0]


@pytest.mark.parametrize(
    "option",
    [["--overlap", "2"], ["--instructions", "x"], ["--port", "0"], ["--host", "127.0.0.2"]],
    ids=lambda option: option[0],
)
def test_a_served_page_is_not_changed_by_an_invitation(gathered, capsys, option):
    write_json(gathered / "page.json", {**this_process(), "host": "127.0.0.1", "port": 5000})
    assert main(["label", str(gathered), "--invite", "ben", *option]) == 2
    captured = capsys.readouterr()
    assert f"{option[0]}: the page" in captured.err
    assert captured.err.count("\n") == 1
    assert "http" not in captured.out


def wait_until_served(run: Path) -> None:
    deadline = time.monotonic() + 20
    while not (run / "page.json").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["label", "nowhere"], "nowhere is no run"),
        (["label", "RUN", "--revoke", "zoe"], "--revoke: nobody called 'zoe' is invited to RUN"),
        (["label", "RUN", "--invite", "owner"], "'owner' is somebody already"),
        (["label", "RUN", "--invite", "x" * 41], "a name of up to 40 characters"),
        (["label", "RUN", "--host", "0.0.0.0"], "add --allow-remote"),
        (["label", "RUN", "--overlap", "0"], "--overlap: expected at least 1"),
        (["label", "RUN", "--port", "TAKEN"], "Address already in use"),
        (["train", "pendulum", "--labeler", "human", "--port", "TAKEN"], "Address already in use"),
        (["train", "pendulum", "--labeler", "human", "--host", "0.0.0.0"], "add --allow-remote"),
        (["train", "pendulum", "--labeler", "human", "--inline"], "which people do not"),
        (["train", "pendulum", "--port", "5001"], "are the label page's"),
        (["train", "pendulum", "--labeler", "nobody"], "--labeler"),
    ],
)
def test_what_cannot_be_served_is_one_line_and_leaves_nothing(
    gathered, tmp_path, capsys, monkeypatch, arguments, complaint
):
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        known = {"RUN": str(gathered), "TAKEN": str(taken.getsockname()[1])}
        assert main([known.get(argument, argument) for argument in arguments]) == 2
    err = capsys.readouterr().err
    assert complaint.replace("RUN", str(gathered)) in err
    assert err.count("\n") == 1
    assert not (tmp_path / "runs").exists()


BLIND = """
import gymnasium, numpy
from gymnasium.spaces import Box, Discrete

class Blind(gymnasium.Env):
    metadata = {"render_modes": ["ansi"]}
    observation_space = Box(-1, 1, (1,), numpy.float32)
    action_space = Discrete(2)

    def __init__(self, render_mode=None):
        pass

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return numpy.zeros(1, numpy.float32), {}

    def step(self, action):
        return numpy.zeros(1, numpy.float32), 0.0, False, False, {}

gymnasium.register("own/Blind-v0", entry_point=Blind, max_episode_steps=100)
"""


def test_an_environment_without_pictures_cannot_be_labelled_by_people(tmp_path):
    (tmp_path / "blind.py").write_text(BLIND)
    done = subprocess.run(
        [PREFRL, "train", "own/Blind-v0", "--env-import", "blind", "--labeler", "human"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "own/Blind-v0 cannot be rendered, so people cannot label it" in done.stderr
    assert "rgb_array is needed" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_others_on_the_network_are_let_in_only_with_a_warning(gathered, visit):
    with serving(gathered, "--host", "0.0.0.0", "--allow-remote") as (link,):
        port = link.partition("?")[0].rstrip("/").rpartition(":")[2]
        local = re.sub(r"//[^/]*/", f"//127.0.0.1:{port}/", link)
        assert visit(local).lease(1)


@pytest.mark.alone
def test_a_scripted_person_in_a_browser_teaches_the_moving_dot(train, browser):
    """experiments/scripted_person.py in a hurry: short clips, half of the steps, the same labels.

    Seeds 0 and 1 reached 0.94; with half of the labels results scatter.
    """
    training = train(
        "moving-dot-position", "--labeler", "human", "--seed", "0", "--port", "0",
        "--env.clip-length", "13", "--total-timesteps", "150000",
    )  # fmt: skip
    page = browser.new_page()
    page.goto(link_of(training))
    page.click("[data-action=begin]")
    ScriptedPerson(page, seconds=0.0).label_all(longest_s=600)
    page.close()
    assert training.end(within_s=180) == 0, training.err
    assert training.result["labels_unused"] == 0
    assert training.result["normalised_score"] >= 0.7
