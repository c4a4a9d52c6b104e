"""Room is made for new runs, and never at the cost of a label nobody named."""

import sys

import pytest

from prefrl.cli import main
from prefrl.config import Config
from prefrl.config_file import to_dict
from prefrl.run_directory import RunDirectory, write_json
from prefrl.run_status import StatusFile

RECORDS = {"config.json", "provenance.json", "result.json", "end.json", "labels.sqlite3"}
DERIVED = {"plots", "videos", "exports"}
REST = {"checkpoints", "tb", "metrics", "source.zip", "log.txt", "status.json", "page.json"}


@pytest.fixture
def run(tmp_path):
    run = RunDirectory.create(tmp_path / "run")
    write_json(run.config, to_dict(Config()))
    write_json(run.result, {"status": "finished"})
    for path in (run.provenance, run.end, run.status, run.page):
        write_json(path, {})
    folders = (
        run.plots, run.videos, run.exports, run.checkpoints, run.tensorboard, run.metrics,
    )  # fmt: skip
    for folder in folders:
        (folder / "inner").mkdir(parents=True)
        (folder / "inner" / "file").write_bytes(bytes(1000))
    run.source.write_bytes(b"zip")
    run.log.write_text("started")
    run.labels.write_bytes(bytes(2500))
    return run


def names(run):
    return {path.name for path in run.path.iterdir()}


def test_pictures_and_videos_go_and_the_rest_stays(run, capsys):
    assert main(["runs", "prune", str(run.path), "--yes"]) == 0
    assert names(run) == RECORDS | REST
    assert "all of it" in (out := capsys.readouterr().out)
    assert out.splitlines()[-1].split()[-3:] == ["3", "3", "kB"]


def test_of_a_whole_run_the_labels_stay_with_the_records_they_need(run):
    assert main(["runs", "prune", str(run.path), "--whole", "--yes"]) == 0
    assert names(run) == RECORDS
    assert RunDirectory.open(run.path).labels.stat().st_size == 2500


def test_labels_go_when_they_are_named(run):
    assert main(["runs", "prune", str(run.path), "--whole", "--labels", "--yes"]) == 0
    assert not run.path.exists()


def test_labels_that_are_out_of_reach_are_not_taken_for_none(run, tmp_path):
    run.labels.unlink()
    run.labels.symlink_to(tmp_path / "a disk that is not there now")
    assert main(["runs", "prune", str(run.path), "--whole", "--yes"]) == 0
    assert names(run) == RECORDS
    assert run.labels.is_symlink()


def test_a_run_without_labels_goes_whole(run):
    run.labels.unlink()
    assert main(["runs", "prune", str(run.path), "--whole", "--yes"]) == 0
    assert not run.path.exists()


def test_files_of_somebody_else_stay(run):
    (run.path / "notes.txt").write_text("mine")
    assert main(["runs", "prune", str(run.path), "--whole", "--labels", "--yes"]) == 0
    assert names(run) == {"notes.txt"}


def test_what_a_link_leads_to_stays(run, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").touch()
    (run.plots / "inner" / "link").symlink_to(elsewhere)
    (run.path / "videos").rename(tmp_path / "videos")
    run.videos.symlink_to(elsewhere)
    assert main(["runs", "prune", str(run.path), "--yes"]) == 0
    assert not DERIVED & names(run)
    assert (elsewhere / "file").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--labels", "--yes"], "add --whole"),
        (["--whole"], "nothing was removed: add --yes"),
    ],
)
def test_what_is_not_clear_removes_nothing(run, arguments, words, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    assert main(["runs", "prune", str(run.path), *arguments]) == 2
    assert words in capsys.readouterr().err
    assert names(run) == RECORDS | REST | DERIVED


def test_without_a_yes_nothing_is_removed(run, monkeypatch):
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: "")
    assert main(["runs", "prune", str(run.path)]) == 0
    assert names(run) == RECORDS | REST | DERIVED
    monkeypatch.setattr("builtins.input", lambda _: "y")
    assert main(["runs", "prune", str(run.path)]) == 0
    assert names(run) == RECORDS | REST


def test_a_run_that_goes_on_is_left_alone(run, capsys):
    run.result.unlink()
    StatusFile(run)
    assert main(["runs", "prune", str(run.path), "--whole", "--yes"]) == 2
    assert "is running" in capsys.readouterr().err
    assert names(run) >= REST | DERIVED


@pytest.mark.parametrize("config", ['{"model": "x"}', '{"env": {"name": "x"}}', "not JSON"])
def test_a_project_that_has_a_config_of_its_own_is_left_alone(tmp_path, capsys, config):
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "plots").mkdir()
    assert main(["runs", "prune", str(tmp_path), "--whole", "--labels", "--yes"]) == 2
    assert "not one of prefrl" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "plots"}
