"""The list of runs, and all of one; directories may come from anywhere."""

import io
import json
import os
import time

import psutil
import pytest
from archived_run import RESULT, archived
from rich.console import Console

from prefrl.cli import main
from prefrl.provenance import write_end
from prefrl.run_directory import write_json
from prefrl.run_status import this_process
from prefrl.runs.archive import entry_of, find_runs
from prefrl.runs.tables import runs_table


def write_status(run, created, **figures):
    record = {**this_process(), "process_started_at": created, "doing": "learning",
              "figures": figures}  # fmt: skip
    write_json(run.status, record)


@pytest.fixture
def listed(capsys):
    def names(*arguments):
        assert main(["runs", *map(str, arguments), "--json"]) == 0
        return [entry["name"] for entry in json.loads(capsys.readouterr().out)]

    return names


def test_a_finished_run_shows_what_it_reached(tmp_path):
    entry = entry_of(archived(tmp_path / "one", note="does it learn?", seed=3))
    assert (entry.name, entry.question, entry.seed) == ("one", "does it learn?", 3)
    assert entry.env == "prefrl/MovingDotPosition-v0"
    assert (entry.status, entry.labels, entry.env_steps) == ("finished", 200, 300_000)
    assert (entry.true_return, entry.wall_s) == (70.25, 61.5)


def test_a_living_process_is_running_and_a_dead_one_lost(tmp_path):
    run = archived(tmp_path / "run", result=None)
    created = psutil.Process().create_time()
    write_status(run, created, labels=12, env_steps=500, true_return=-3.5)
    entry = entry_of(run)
    assert (entry.status, entry.doing, entry.labels, entry.true_return) == (
        "running", "learning", 12, -3.5,
    )  # fmt: skip
    assert entry.wall_s > 0
    write_status(run, created - 1000, labels=12, env_steps=500)
    entry = entry_of(run)
    assert (entry.status, entry.doing, entry.labels, entry.wall_s) == ("lost", "", 12, None)


def test_runs_are_found_at_any_depth_and_not_inside_of_one_another(tmp_path):
    archived(tmp_path / "b")
    archived(tmp_path / "a" / "deep")
    archived(tmp_path / "b" / "checkpoints")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "b")
    assert [run.path for run in find_runs(tmp_path)] == [tmp_path / "a" / "deep", tmp_path / "b"]


def test_the_list_is_sorted_and_what_has_no_value_comes_last(tmp_path, listed):
    for name, mean, started in (("x", 1.0, "2026-01-03"), ("y", 5.0, "2026-01-01")):
        archived(tmp_path / name, started=started, result={**RESULT, "true_return": {"mean": mean}})
    archived(tmp_path / "z", started="2026-01-02", result={**RESULT, "true_return": None})
    assert listed(tmp_path) == ["y", "z", "x"]
    assert listed(tmp_path, "--sort", "return") == ["x", "y", "z"]
    assert listed(tmp_path, "--sort", "return", "--reverse") == ["y", "x", "z"]
    assert listed(tmp_path, "--sort", "name", "--reverse") == ["z", "y", "x"]


def test_the_list_can_be_filtered(tmp_path, listed):
    archived(tmp_path / "one", note="more labels?", seed=1)
    archived(tmp_path / "two", seed=2, result={**RESULT, "status": "failed"})
    archived(tmp_path / "three", seed=3, result=None)
    assert listed(tmp_path, "--status", "failed") == ["two"]
    assert listed(tmp_path, "--status", "lost") == ["three"]
    assert listed(tmp_path, "--seed", "1") == ["one"]
    assert listed(tmp_path, "--find", "LABELS") == ["one"]
    assert listed(tmp_path, "--find", "t", "--sort", "name") == ["three", "two"]
    assert listed(tmp_path, "--env", "pong") == []
    assert "one" in listed(tmp_path, "--env", "moving-dot")  # as the recipe is called


def test_the_table_has_a_whole_line_for_each_run_where_it_is_no_terminal(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "40")
    archived(tmp_path / "one", note="[red]why[/red]?\x1b[2J")
    assert main(["runs", str(tmp_path)]) == 0
    head, line = capsys.readouterr().out.splitlines()
    assert " ".join(head.split()) == (
        "name question environment seed status labels steps return time"
    )
    assert " ".join(line.split()) == (
        "one [red]why[/red]? [2J prefrl/MovingDotPosition-v0 0 finished 200 300,000 70.2 1:02"
    )


@pytest.mark.parametrize("width", [40, 80, 100])
def test_a_narrow_terminal_cuts_words_and_no_digit(tmp_path, width):
    note = "does it learn from fewer labels than last time?"
    run = archived(tmp_path / "movingdotposition-s0-20260101", note=note, result={
        **RESULT, "wall_s": 15_000.0, "true_return": {"mean": -1234.5}, "env_steps": 50_000_000,
    })  # fmt: skip
    shown = io.StringIO()
    console = Console(width=width, force_terminal=True, color_system=None, file=shown)
    console.print(runs_table([entry_of(run)], width), crop=False)
    _, line = shown.getvalue().splitlines()
    assert line.split()[-6:] == ["0", "finished", "200", "50,000,000", "-1,234.5", "4:10:00"]
    assert line.startswith(" movingd")
    if width >= 80:
        assert len(line) <= width


def test_a_return_of_training_is_told_from_that_of_the_evaluation(tmp_path, capsys):
    running = archived(tmp_path / "running", result=None)
    write_status(running, psutil.Process().create_time(), true_return=-3.5)
    done, without = archived(tmp_path / "done"), archived(tmp_path / "lost", result=None)
    sources = [entry_of(run).return_of for run in (running, done, without)]
    assert sources == ["training", "evaluation", ""]
    assert main(["runs", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert " *-3.5 " in out
    assert " 70.2 " in out
    assert out.splitlines()[-1] == "* of training episodes: not evaluated yet"
    assert main(["runs", str(tmp_path), "--status", "finished"]) == 0
    assert "training" not in capsys.readouterr().out


@pytest.mark.parametrize("content", ["", "[]", "{", '{"a": ' * 9999, "null", '{"env": 3}'])
def test_files_that_make_no_sense_cost_a_run_its_figures_not_the_list(
    tmp_path, content, listed, capsys
):
    archived(tmp_path / "good", started="2026")
    odd = archived(tmp_path / "odd", result=None)
    for path in (odd.config, odd.provenance, odd.result, odd.status):
        path.write_text(content)
    assert listed(tmp_path) == ["good", "odd"]
    assert main(["runs", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count(" config.json? ") == 1


@pytest.mark.parametrize("value", [[1], {"a": 1}, "\x1b[31m", 1e300, True, None, -1, 10**400])
def test_a_figure_of_a_wrong_kind_harms_nobody(tmp_path, value, listed, capsys):
    run = archived(tmp_path / "odd", result=None)
    figures = dict.fromkeys(
        ("status", "labels", "env_steps", "wall_s", "true_return", "doing", "figures", "process",
         "process_started_at", "written_at", "seed", "env", "note", "started_at", "command",
         "git_diff", "code", "packages", "outputs", "ended_at"), value,
    )  # fmt: skip
    for path in (run.config, run.provenance, run.result, run.status, run.end):
        path.write_text(json.dumps(figures))
    run.result.unlink()
    assert listed(tmp_path) == ["odd"]
    run.result.write_text(json.dumps(figures))
    assert listed(tmp_path) == ["odd"]
    assert main(["runs", str(tmp_path)]) == 0
    assert main(["runs", "show", str(run.path)]) == 0
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["pipe", "link", "far too large"])
def test_what_is_no_plain_record_is_not_read(tmp_path, kind, run_python):
    run = archived(tmp_path / "run", note="secret", result=None)
    outside = tmp_path / "outside.json"
    run.provenance.rename(outside)
    if kind == "pipe":
        os.mkfifo(run.provenance)
    elif kind == "link":
        run.provenance.symlink_to(outside)
    else:
        run.provenance.touch()
        os.truncate(run.provenance, 2**43)  # of which the disk holds nothing
    # As a program, which ends after a minute: who reads a pipe may wait for ever.
    done = run_python("import sys; from prefrl.cli import main; sys.exit(main(sys.argv[1:]))",
                      "runs", run.path.parent, "--json")  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    (entry,) = json.loads(done.stdout)
    assert (entry["question"], entry["seed"]) == ("", 0)


@pytest.mark.parametrize("command", ["runs show", "plot", "compare"])
def test_commands_do_not_follow_links_out_of_a_run(tmp_path, command, capsys):
    run, other = archived(tmp_path / "run"), archived(tmp_path / "other", seed=1)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "learning_curve.png").write_bytes(b"mine")
    run.plots.symlink_to(elsewhere)
    runs = [str(run.path), *([str(other.path)] if command == "compare" else [])]
    assert main([*command.split(), *runs]) == 2
    assert "is no plain file or folder" in capsys.readouterr().err
    assert [path.read_bytes() for path in elsewhere.iterdir()] == [b"mine"]


@pytest.mark.parametrize("depth", [900, 100_000])
@pytest.mark.parametrize("command", ["runs show", "runs show --json", "evaluate", "reproduce"])
def test_a_configuration_that_is_nested_deeply_is_one_line(tmp_path, command, depth, capsys):
    run = archived(tmp_path / "run")
    run.config.write_text('{"a": ' * depth + "1" + "}" * depth)
    assert main([*command.split(), str(run.path)]) in (0, 2)
    assert capsys.readouterr().err.count("\n") <= 1


def test_the_list_tells_runs_apart_whose_folders_are_called_alike(tmp_path, listed):
    for name in ("a/seed0", "b/seed0", "b/seed1"):
        archived(tmp_path / name)
    assert listed(tmp_path, "--sort", "name") == ["a/seed0", "b/seed0", "seed1"]


def test_a_thousand_runs_are_listed_at_once(tmp_path, listed):
    template = archived(tmp_path / "0000")
    packages = {f"package-{i}": "1.2.3" for i in range(120)}
    origin = json.loads(template.provenance.read_text()) | {"packages": packages}
    write_json(template.provenance, origin)
    contents = {path.name: path.read_bytes() for path in template.path.iterdir()}
    for number in range(1, 1000):
        folder = tmp_path / f"{number:04}"
        folder.mkdir()
        for name, content in contents.items():
            (folder / name).write_bytes(content)
    began = time.perf_counter()
    assert len(listed(tmp_path)) == 1000
    assert time.perf_counter() - began < 5  # a bound for any machine; the figure is measured apart


def test_show_tells_the_record_and_verify_what_changed_since(tmp_path, capsys):
    run = archived(tmp_path / "run", note="why?")
    run.metrics.mkdir()
    (run.metrics / "policy.jsonl").write_text('{"step": 1}\n')
    (run.metrics / "reward.jsonl").write_text("")
    write_end(run, 0)
    assert main(["runs", "show", str(run.path), "--verify"]) == 0
    assert "why?" in capsys.readouterr().out
    (run.metrics / "policy.jsonl").write_text('{"step": 2}\n')
    (run.metrics / "reward.jsonl").unlink()
    (run.metrics / "other.jsonl").touch()
    run.exports.mkdir()
    (run.exports / "last.zip").touch()  # can be made again, as pictures and videos can
    assert main(["runs", "show", str(run.path), "--verify", "--json"]) == 1
    record = json.loads(capsys.readouterr().out)
    assert record["changed_outputs"] == {
        "metrics/policy.jsonl": "changed",
        "metrics/reward.jsonl": "removed",
        "metrics/other.jsonl": "new",
    }
    assert (record["question"], record["exit_code"]) == ("why?", 0)


def test_verify_names_what_was_pruned_and_counts_it_for_no_change(tmp_path, capsys):
    run = archived(tmp_path / "run")
    for path in (run.videos / "evaluation.mp4", run.plots / "memory.png"):
        path.parent.mkdir()
        path.touch()
    write_end(run, 0)
    assert main(["runs", "prune", str(run.path), "--yes"]) == 0
    run.videos.mkdir()
    (run.videos / "evaluation.mp4").write_bytes(b"made again")
    capsys.readouterr()
    assert main(["runs", "show", str(run.path), "--verify"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "changed outputs none" in said
    assert "removed but can be made again plots/memory.png" in said


def test_show_names_the_settings_that_are_not_the_default(tmp_path, capsys):
    run = archived(tmp_path / "run", seed=7)
    assert main(["runs", "show", str(run.path), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["settings_that_are_not_the_default"] == {"seed": 7}


def test_a_folder_that_is_not_there_is_one_line(tmp_path, capsys):
    assert main(["runs", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err == f"prefrl: {tmp_path / 'none'}: no such folder\n"
    assert main(["runs", "show", str(tmp_path)]) == 2
    assert "is no run" in capsys.readouterr().err
