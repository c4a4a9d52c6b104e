"""Pictures show what stands in `metrics/`, in both themes, and nothing where nothing stands."""

import json

import cv2
import numpy as np
import pytest
from archived_run import BINS, RESULT, archived, write_figures
from matplotlib import rcParams
from matplotlib.figure import Figure

from prefrl.cli import main
from prefrl.run_directory import write_json
from prefrl.runs.plots import draw_run, learning, processes, reward
from prefrl.runs.plots.canvas import DARK, LIGHT, THEMES, clock_unit

RETURNS = [1.0, 4.0, 9.0, 16.0]
PICTURES = {
    "learning_curve", "predicted_against_true", "calibration", "label_timeline", "time_by_phase",
    "memory",
}  # fmt: skip


@pytest.fixture
def run(tmp_path):
    run = archived(tmp_path / "run")
    write_figures(run, RETURNS)
    return run


@pytest.fixture
def painted(monkeypatch):
    """The axes of a picture instead of its file."""

    def save(path, paint, height, theme=LIGHT):
        figure = Figure(figsize=(8, height))
        paint(figure, theme)
        return figure.axes

    for module in (learning, processes, reward):
        monkeypatch.setattr(module, "save", save)


def drawn(axes):
    """The points of each line that has a name, by that name."""
    return {
        line.get_label(): np.transpose(line.get_data()).tolist()
        for line in axes.lines
        if not line.get_label().startswith("_")
    }


def test_a_run_has_each_picture_in_both_themes(run, capsys):
    before = dict(rcParams)
    assert main(["plot", str(run.path)]) == 0
    files = {path.name for path in run.plots.iterdir()}
    assert files == {f"{name}{end}.png" for name in PICTURES for end in ("", "-dark")}
    assert capsys.readouterr().out.splitlines() == sorted(str(run.plots / name) for name in files)
    for name in PICTURES:
        light, dark = (cv2.imread(str(run.plots / f"{name}{end}.png")) for end in ("", "-dark"))
        assert light.shape == dark.shape
        assert light.shape[1] == 960
        assert light.mean() > 200
        assert dark.mean() < 60
        assert (light != light[0, 0]).any(axis=2).mean() > 0.01
    assert dict(rcParams) == before


def test_a_run_without_figures_has_no_pictures_but_an_empty_curve(tmp_path):
    run = archived(tmp_path / "run", result=None)
    assert {path.stem for path in draw_run(run)} == {"learning_curve", "learning_curve-dark"}


@pytest.mark.usefixtures("painted")
def test_the_learning_curve_is_the_recorded_return(run):
    top, bottom, labels = learning.learning_curve(run, RESULT)
    points = [[1000.0 * i, value] for i, value in enumerate(RETURNS, start=1)]
    assert drawn(top)["true return, training"] == points
    assert {"best possible in evaluation: 80.0", "random policy: −5.0"} < set(drawn(top))
    assert not top.texts  # which a curve could strike through
    assert drawn(bottom)["accuracy on held-out labels"][0] == [1000, 0.8]
    assert [y for _, y in np.transpose(labels.lines[0].get_data())] == [10, 10, 20, 20, 20]


@pytest.mark.usefixtures("painted")
def test_labels_stand_to_the_end_of_the_run_and_a_second_round_at_a_step_makes_no_hook(run):
    path = run.metrics / "reward.jsonl"
    first, *others = path.read_text().splitlines(keepends=True)
    again = first.replace('"reward/validation_accuracy": 0.8', '"reward/validation_accuracy": 0.3')
    path.write_text("".join([again, first, *others[:-2]]))
    _, bottom, labels = learning.learning_curve(run, RESULT)
    assert labels.lines[0].get_xdata().tolist() == [1000, 2000, 4000]
    assert drawn(bottom)["accuracy on held-out labels"] == [[1000, 0.8], [2000, 0.8]]


@pytest.mark.parametrize(
    "wrong",
    [{}, {"mean": 1.0}, {"mean": "x", "sd": 1.0, "episodes": 2},
     {"mean": 1.0, "sd": -1.0, "episodes": 2}, {"mean": 10**400, "sd": 1.0, "episodes": 2}],
)  # fmt: skip
def test_an_evaluation_that_makes_no_sense_harms_nobody(run, wrong):
    write_json(run.result, {**RESULT, "true_return": wrong, "best_possible": 10**400})
    assert main(["plot", str(run.path)]) == 0


@pytest.mark.usefixtures("painted")
def test_dots_are_the_clips_of_the_evaluation_with_their_correlation(run):
    (axes,) = reward.predicted_against_true(run, LIGHT)
    random, final = axes.collections
    assert random.get_offsets().tolist() == [[value, -value] for value in RETURNS]
    assert final.get_offsets().tolist() == [[value, 2 * value] for value in RETURNS]
    assert random.get_label() == "random policy: r = -1.00, 4 clips"
    assert final.get_label() == "final policy: r = 1.00, 4 clips"


@pytest.mark.usefixtures("painted")
def test_the_reliability_diagram_shows_the_tenths_that_have_pairs(run):
    diagram, history = reward.calibration(run, LIGHT)
    (dots,) = diagram.collections
    assert dots.get_offsets().tolist() == [[p, share] for n, p, share in BINS if n]
    assert [text.get_text() for text in diagram.texts] == ["4", "3", "9"]
    assert "0.100" in diagram.get_title("center")
    assert history.lines[0].get_ydata().tolist() == [0.1] * 4


@pytest.mark.usefixtures("painted")
def test_the_timeline_shows_labels_by_step_and_by_the_clock(run):
    by_step, by_clock = reward.label_timeline(run, LIGHT)
    assert [y for _, y in drawn(by_step)["answered"]] == [10, 10, 20, 20]
    assert [y for _, y in drawn(by_step)["due by the schedule"]] == [8, 8, 18, 18]
    assert by_clock.lines[0].get_xdata().tolist() == [0, 10, 20, 30]
    assert by_clock.get_xlabel().endswith("(s)")


@pytest.mark.usefixtures("painted")
def test_time_counts_what_is_inside_of_a_phase_once(run):
    policy, _ = processes.time_by_phase(run, LIGHT)
    # After four rollouts: 24 s of rollout with 8 s of environment in them, 3 s of update.
    shown = dict(zip([t.get_text() for t in policy.get_yticklabels()],
                     [bar.get_width() for bar in policy.patches], strict=True))  # fmt: skip
    assert shown == {"rollout, the rest": 16, "environment": 8, "update": 3}
    assert policy.get_title("center") == "policy process: 27.0 s measured"


@pytest.mark.usefixtures("painted")
def test_memory_is_in_mebibytes_for_each_process(run):
    (axes,) = processes.memory(run, LIGHT)
    found = drawn(axes)
    assert found["policy: at most 104 MiB"] == [[10.0 * i, 101.0 + i] for i in range(4)]
    assert found["reward: at most 200 MiB"][0] == [1, 200]


def test_the_unit_of_time_follows_its_length():
    assert [clock_unit(s) for s in (5, 600, 9000)] == [("s", 1), ("min", 60), ("h", 3600)]


def test_what_is_no_diagram_is_not_drawn(run):
    path = run.metrics / "reward.jsonl"
    for wrong in ("3", '[["x", 1, 2]]', "[[1]]", "null"):
        path.write_text(f'{{"step": 1, "reward/calibration": {wrong}}}\n')
        assert reward.calibration(run, LIGHT) is None


def contrast(one, other):
    """Source: WCAG 2.2, contrast ratio."""

    def luminance(colour):
        values = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
        return np.dot(linear, (0.2126, 0.7152, 0.0722))

    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_colours_can_be_seen(theme):
    assert contrast(theme.ink, theme.background) >= 7
    for colour in (theme.faint, *theme.lines):
        assert contrast(colour, theme.background) >= 3, colour
    assert len(set(theme.lines)) == len(theme.lines) == len(DARK.lines)


def test_a_damaged_file_is_one_line(run, capsys):
    path = run.metrics / "timing-policy.jsonl"
    path.write_text(json.dumps([1]) + "\n")
    assert main(["plot", str(run.path)]) == 2
    assert capsys.readouterr().err == f"prefrl: {path}: expected an object in each line\n"
