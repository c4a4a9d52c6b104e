import json
import os

import pytest

from prefrl.run_directory import (
    RunDirectory,
    RunError,
    RunExistsError,
    write_bytes,
    write_json,
)


def test_every_path_lies_in_the_run(tmp_path):
    run = RunDirectory(tmp_path)
    names = {
        run.config: "config.json",
        run.provenance: "provenance.json",
        run.labels: "labels.sqlite3",
        run.checkpoints: "checkpoints",
        run.checkpoint("best"): "checkpoints/best",
        run.tensorboard: "tb",
        run.metrics: "metrics",
        run.videos: "videos",
        run.plots: "plots",
        run.result: "result.json",
        run.source: "source.zip",
        run.end: "end.json",
    }
    assert all(path == tmp_path / name for path, name in names.items())


@pytest.mark.parametrize("taken_by", ["run", "empty folder", "file", "dangling link"])
def test_a_name_that_is_taken_is_refused_and_left_alone(tmp_path, taken_by):
    path = tmp_path / "run"
    if taken_by == "run":
        write_json(RunDirectory.create(path).config, {"seed": 1})
    elif taken_by == "empty folder":
        path.mkdir()
    elif taken_by == "file":
        path.write_text("mine")
    else:
        path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(RunExistsError, match=r"run exists already: choose another name"):
        RunDirectory.create(path)
    if taken_by == "run":
        assert json.loads(RunDirectory.open(path).config.read_text()) == {"seed": 1}


def test_a_run_under_a_file_is_a_run_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="file"):
        RunDirectory.create(tmp_path / "file" / "run")


@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_without_a_configuration_is_no_run(tmp_path, exists):
    path = tmp_path / "run"
    if exists:
        path.mkdir()
    with pytest.raises(RunError, match=r"is no run: it has no config\.json"):
        RunDirectory.open(path)


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "weights"
    write_bytes(path, b"old")

    def fail(_descriptor):
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space left"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_is_on_disk_before_it_has_its_name_and_its_folder_after(tmp_path, monkeypatch):
    path, synced = tmp_path / "weights", []

    def spy(descriptor):
        synced.append((os.readlink(f"/proc/self/fd/{descriptor}"), path.exists()))

    monkeypatch.setattr(os, "fsync", spy)
    write_bytes(path, b"new")
    (temporary, named_before), (folder, named_after) = synced
    assert os.path.dirname(temporary) == folder == str(tmp_path)
    assert (named_before, named_after) == (False, True)


def test_numbers_that_json_lacks_become_null(tmp_path):
    path = tmp_path / "result.json"
    write_json(path, {"a": float("nan"), "b": [float("inf"), 1.5, {"c": (-float("inf"), 2)}]})
    text = path.read_text()
    assert json.loads(text) == {"a": None, "b": [None, 1.5, {"c": [None, 2]}]}
    assert "NaN" not in text
    assert "Infinity" not in text
