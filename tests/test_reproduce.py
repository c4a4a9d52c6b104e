"""Starting a run again: what differs is said first, and code runs only if it was named here."""

import json
import sys

import pytest
from archived_run import archived, write_figures
from labelled_run import make_clip

from labeler_ui.server import Address
from prefrl import start
from prefrl.cli import main
from prefrl.labels.store import LabelStore
from prefrl.provenance import provenance
from prefrl.run_directory import write_json
from prefrl.runs.sameness import verdict
from prefrl.types import Label, Query

BOMB = "import pathlib; pathlib.Path('exploded').touch()"


@pytest.fixture
def started(monkeypatch):
    """The runs that were started, instead of starting them."""
    calls = []

    def note(command):
        def start_one(config, request, *sources):
            calls.append((command, config, request, sources))
            return 0

        return start_one

    for command in ("train", "gather", "pretrain"):
        monkeypatch.setattr(start, command, note(command))
    return calls


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "bomb_of_a_run.py").write_text(BOMB)
    run = archived(tmp_path / "old", seed=7, note="why?")
    write_record(run)
    return run


def write_record(run, **facts):
    record = {"prefrl_command": "train", "labels_from": None, "reward_from": None, "note": "why?"}
    write_json(run.provenance, provenance(7, "why?") | record | facts)


def set_env(run, **changes):
    config = json.loads(run.config.read_text())
    config["env"] |= changes
    write_json(run.config, config)


def test_settings_seed_and_question_are_those_of_the_record(run, started, capsys):
    assert main(["reproduce", str(run.path)]) == 0
    ((command, config, request, sources),) = started
    assert (command, config.seed, sources) == ("train", 7, (None, None, Address()))
    assert (str(request.run_dir), request.note) == ("runs/old-again", "why?")
    assert [line.split() for line in capsys.readouterr().out.splitlines()[:3]] == [
        ["code", "the", "same"], ["packages", "the", "same"], ["machine", "the", "same"],
    ]  # fmt: skip


def test_what_differs_here_is_said_before_anything_starts(run, started, capsys):
    packages = provenance(0, "")["packages"] | {"numpy": "1.0"}
    write_record(run, git_revision="f" * 40, packages=packages, cores=9999)
    assert main(["reproduce", str(run.path), "--check"]) == 0
    assert started == []
    out = capsys.readouterr().out
    for word in ("ffffffffffff", "numpy", "1.0", "9,999"):
        assert word in out


@pytest.mark.parametrize(
    "env",
    [{"import_modules": ["bomb_of_a_run"]}, {"id": "bomb_of_a_run:Task-v0"}],
    ids=["module", "module in the id"],
)
def test_code_that_a_run_names_does_not_run_unless_it_is_named_here(run, started, env, capsys):
    set_env(run, **env)
    assert main(["reproduce", str(run.path)]) == 2
    assert "--env-import 'bomb_of_a_run'" in capsys.readouterr().err
    assert main(["reproduce", str(run.path), "--env-import", "os", "--check"]) == 2
    assert not (run.path.parent / "exploded").exists()
    assert "bomb_of_a_run" not in sys.modules
    assert started == []
    assert main(["reproduce", str(run.path), "--env-import", "bomb_of_a_run"]) == 0
    assert len(started) == 1


@pytest.mark.parametrize("command", ["evaluate", "pretrain --labels-from"])
@pytest.mark.parametrize("env", [{"import_modules": ["bomb_of_a_run"]}, {"id": "bomb_of_a_run:T"}])
def test_other_commands_do_not_run_it_either(run, command, env, capsys):
    set_env(run, **env)
    assert main([*command.split(), str(run.path)]) == 2
    assert "--env-import 'bomb_of_a_run'" in capsys.readouterr().err
    assert not (run.path.parent / "exploded").exists()
    assert "bomb_of_a_run" not in sys.modules


@pytest.mark.parametrize("key", ["labels_from", "reward_from"])
def test_other_runs_that_a_record_names_are_named_again(run, started, key, capsys, tmp_path):
    flag = f"--{key.replace('_', '-')}"
    assert main(["reproduce", str(run.path), flag, "x"]) == 2
    assert f"the run began without {flag}" in capsys.readouterr().err
    write_record(run, **{key: "/elsewhere/g"})
    assert main(["reproduce", str(run.path)]) == 2
    assert f"the run began with {flag} /elsewhere/g" in capsys.readouterr().err
    assert started == []
    assert main(["reproduce", str(run.path), flag, str(tmp_path)]) == 0
    assert tmp_path in started[0][3]


def test_pieces_are_started_again_as_pieces(run, started):
    write_record(run, prefrl_command="gather")
    assert main(["reproduce", str(run.path)]) == 0
    write_record(run, prefrl_command="pretrain", labels_from="x")
    assert main(["reproduce", str(run.path), "--labels-from", str(run.path)]) == 0
    assert [command for command, *_ in started] == ["gather", "pretrain"]


@pytest.mark.parametrize("command", [None, "rm -rf", ["train"], 3])
def test_no_other_command_is_started(run, started, command, capsys):
    write_record(run, prefrl_command=command)
    assert main(["reproduce", str(run.path)]) == 2
    assert "does not say by which command" in capsys.readouterr().err
    assert started == []


@pytest.mark.parametrize(
    ("content", "words"),
    [("[]", "expected a table"), ('{"seed": "__import__(\'os\')"}', "seed"), ('{"x": 1}', "'x'")],
)
def test_a_configuration_that_makes_no_sense_is_one_line(run, started, content, words, capsys):
    run.config.write_text(content)
    assert main(["reproduce", str(run.path)]) == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1
    assert started == []


def test_the_first_figure_that_differs_is_named(tmp_path):
    old, new = archived(tmp_path / "a"), archived(tmp_path / "b")
    for run in (old, new):
        write_figures(run, [1.0, 2.0])
    (new.metrics / "timing-policy.jsonl").write_text("")  # clocks always differ
    assert verdict(old, new) == "the same numbers as a"
    path = new.metrics / "policy.jsonl"
    text = path.read_text()
    path.write_text(text.replace('"rollout/true_return": 2.0', '"rollout/true_return": 2.5'))
    assert verdict(old, new) == (
        "policy.jsonl, line 3: rollout/true_return is 2.0 there and 2.5 here"
    )
    path.write_text("".join(text.splitlines(keepends=True)[:3]))
    assert verdict(old, new) == "policy.jsonl has 4 lines there and 3 here"


def labelled(path, answers, seed=0):
    """A gathered run: labels, and no figures."""
    run = archived(path)
    with LabelStore.create(run.labels, {}) as store:
        clips = [make_clip(seed + i) for i in range(2 * len(answers))]
        queries = [Query(a.id, b.id) for a, b in zip(clips[::2], clips[1::2], strict=True)]
        store.add_queries(queries, {clip.id: clip for clip in clips})
        store.add_labels(
            [Label(q.id, q.id, "oracle", answer, float(seed), 0.0, q.left)
             for q, answer in zip(queries, answers, strict=True)]
        )  # fmt: skip
    return run


def test_labels_are_compared_too(tmp_path):
    old = labelled(tmp_path / "old", ["left", "equal"])
    assert verdict(old, labelled(tmp_path / "a", ["left", "equal"])) == "the same labels as old"
    assert verdict(old, labelled(tmp_path / "b", ["left", "right"])) == (
        "label 2 is equal by oracle there and right by oracle here"
    )
    assert verdict(old, labelled(tmp_path / "c", ["left"])) == "2 labels there and 1 here"
    assert verdict(old, labelled(tmp_path / "d", ["left", "equal"], seed=9)) == (
        "label 1 is about another pair of clips"
    )


def test_where_nothing_can_be_compared_nothing_is_called_the_same(tmp_path):
    old, new = archived(tmp_path / "old"), archived(tmp_path / "new")
    assert verdict(old, new).startswith("nothing could be compared")
