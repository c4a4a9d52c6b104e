"""An asynchronous run to its end, through the real command: what it says and leaves on disk."""

import json
import sqlite3

import av
import pytest
from run_command import DOT, RESULT_FIELDS, SECRET, SHORT, MakeRun, Run, finite_or_null
from safetensors import safe_open
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from prefrl.config_file import load_config
from prefrl.metrics import read_metrics


@pytest.fixture(scope="session")
def finished(make_run: MakeRun) -> Run:
    """An asynchronous run to its end."""
    return make_run("finished", f"train {DOT}", *SHORT, "--seed", "1", "--note", "does it run?")


def test_a_result_has_exactly_the_fields_that_it_should(finished):
    result = finished.result
    assert set(result) == RESULT_FIELDS
    assert finite_or_null(result)
    assert (result["status"], result["error"], result["seed"]) == ("finished", None, 1)
    assert result["env"] == "prefrl/MovingDotPosition-v0"
    assert set(result["peak_memory_bytes"]) == {"policy", "reward"}
    for returns in ("true_return", "random_return", "predicted_return"):
        assert set(result[returns]) == {"mean", "sd", "min", "max", "episodes"}
        assert result[returns]["episodes"] == 4
    for correlation in ("reward_correlation", "reward_correlation_random_policy"):
        assert set(result[correlation]) == {"step", "clip", "episode"}
        assert all(set(both) == {"pearson", "spearman"} for both in result[correlation].values())


def test_a_run_uses_all_its_labels_and_no_more_than_its_steps(finished):
    result = finished.result
    assert (result["labels"], result["labels_unused"]) == (40, 0)
    assert 0 < result["random_steps"] < result["env_steps"] <= 6000
    assert result["normalised_score"] == pytest.approx(
        result["true_return"]["mean"] / result["best_possible"]
    )
    with finished.store as store:
        assert store.counts().queries == store.counts().answered == 40


def test_a_run_leaves_every_file_it_should(finished):
    assert finished.exit_code == 0, finished.err
    assert {path.name for path in finished.path.iterdir()} - {"source.zip"} == {
        "config.json", "provenance.json", "labels.sqlite3", "checkpoints", "tb", "metrics",
        "videos", "plots", "log.txt", "status.json", "result.json", "end.json",
    }  # fmt: skip
    config = load_config(finished.path / "config.json")
    assert (config.seed, config.label.budget) == (1, 40)
    assert config.precision != "auto"  # what it became is recorded
    assert set(finished.files("metrics")) == {
        "policy.jsonl", "reward.jsonl", "timing-policy.jsonl", "timing-reward.jsonl",
        "evaluation.jsonl",
    }  # fmt: skip
    assert not list(finished.path.rglob("*.tmp"))


def test_provenance_keeps_command_packages_and_question_but_no_environment_variable(finished):
    text = (finished.path / "provenance.json").read_text()
    said = json.loads(text)
    assert (said["note"], said["seed"]) == ("does it run?", 1)
    assert said["command"][1:3] == ["train", DOT]
    assert said["packages"]["torch"]
    assert said["prefrl_command"] == "train"
    assert said["labels_from"] is said["reward_from"] is None
    for path in finished.path.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes()


def test_checkpoints_are_tensors_and_json_alone(finished):
    files = finished.files("checkpoints")
    assert {"last/policy.json", "last/reward.json"} <= set(files)
    for name in files:
        path = finished.path / "checkpoints" / name
        if path.suffix == ".json":
            json.loads(path.read_text())
            continue
        assert path.suffix == ".safetensors"
        with safe_open(path, "numpy") as tensors:
            assert len(list(tensors.keys())) > 0


def test_metrics_are_the_same_numbers_in_lines_and_for_tensorboard(finished):
    for process in ("policy", "reward"):
        lines = read_metrics(finished.path / "metrics" / f"{process}.jsonl")
        written = {name for line in lines for name in line} - {"step", "reward/calibration"}
        (events,) = (finished.path / "tb" / process).iterdir()
        tags = {
            value.tag for event in EventFileLoader(str(events)).Load()
            for value in event.summary.value
        }  # fmt: skip
        assert written <= tags
        assert [line["step"] for line in lines] == sorted(line["step"] for line in lines)


def test_the_video_plays_and_the_plot_is_a_png(finished):
    assert finished.exit_code == 0, finished.err
    (video,) = finished.path.glob("videos/*.mp4")
    with av.open(str(video)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 251  # before the first step, and after each
    assert any((frame != frames[0]).any() for frame in frames)
    (plot,) = (finished.path / "plots").iterdir()
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_what_a_person_sees_names_device_result_and_files(finished):
    assert finished.err == ""
    for said in ("networks on ", "true return", "random policy", "evaluation.mp4", "tensorboard"):
        assert said in finished.out


def test_evaluating_again_gives_the_result_to_the_last_digit(finished, prefrl):
    ended = prefrl("evaluate", finished.path)
    assert ended.returncode == 0, ended.stderr
    again = json.loads(ended.stdout)
    assert again == {name: finished.result[name] for name in again}
    assert {"true_return", "reward_correlation"} <= set(again)


def test_evaluating_changes_nothing_in_the_run(finished, prefrl):
    before = {path: path.stat().st_mtime_ns for path in finished.path.rglob("*")}
    prefrl("evaluate", finished.path, "--episodes", "1", "--seed", "3")
    assert {path: path.stat().st_mtime_ns for path in finished.path.rglob("*")} == before


def test_the_end_of_a_run_has_checksums_of_all_it_left(finished, prefrl):
    assert finished.exit_code == 0, finished.err
    end = json.loads((finished.path / "end.json").read_text())
    assert end["exit_code"] == 0
    assert set(end["outputs"]) == set(finished.files(".")) - {"end.json"}
    assert prefrl("runs", "show", finished.path, "--verify").returncode == 0


def test_every_clip_of_the_evaluation_can_be_drawn(finished):
    lines = read_metrics(finished.path / "metrics" / "evaluation.jsonl")
    # Two policies, 4 episodes of 250 steps each, clips of 25 steps.
    assert len(lines) == 2 * 4 * 10
    final = [line["true_reward"] for line in lines if line["policy"] == "final"]
    assert sum(final) == pytest.approx(4 * finished.result["true_return"]["mean"])


def test_the_database_of_a_run_is_whole(finished):
    with sqlite3.connect(finished.path / "labels.sqlite3") as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    database.close()
