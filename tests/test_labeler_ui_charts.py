import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeler_ui.charts import BOTTOM, LEFT, RIGHT, TOP, charts_of, round_marks, written
from labeler_ui.curves import MOST_POINTS, Curve, curves_of
from labeler_ui.instructions import GENERAL, instructions_for
from labeler_ui.rates import Rate, RateLimit
from prefrl.recipes import RECIPES
from prefrl.run_directory import RunDirectory

numbers = st.floats(-1e9, 1e9).filter(lambda value: value == 0 or abs(value) > 1e-6)


@given(numbers, numbers)
def test_marks_enclose_the_values_and_are_few(one, other):
    low, high = min(one, other), max(one, other)
    marks = round_marks(low, high)
    assert marks[0] <= low + 1e-9 * abs(low)
    assert marks[-1] >= high - 1e-9 * abs(high)
    assert 2 <= len(marks) <= 6


def curve_of(*points):
    return Curve("name", "Title", "note", "", list(points))


@given(st.lists(st.tuples(st.floats(0, 1e7), numbers), min_size=2, max_size=30))
def test_a_curve_lies_inside_its_chart(points):
    (chart,) = charts_of([curve_of(*sorted(points))])
    (line,) = chart.lines
    for place in line.points.split():
        x, y = map(float, place.split(","))
        assert LEFT <= x <= RIGHT
        assert TOP - 0.1 <= y <= BOTTOM + 0.1


def test_a_curve_without_points_has_no_line():
    (chart,) = charts_of([curve_of()])
    assert (chart.lines, chart.newest, chart.summary) == ([], None, "No figures yet")


def test_a_single_value_is_said_in_words_and_not_drawn():
    (chart,) = charts_of([curve_of((4000, 0.61))])
    assert (chart.lines, chart.newest) == ([], "0.61")
    assert chart.summary == "One value so far: 0.61 at step 4,000"


def test_the_charts_of_a_run_end_at_the_same_step():
    short, long = charts_of([curve_of((0, 1), (500, 2)), curve_of((0, 1), (1000, 2)), curve_of()])[
        :2
    ]
    assert (
        [tick.text for tick in short.x_ticks]
        == ["0", "1k steps"]
        == [tick.text for tick in long.x_ticks]
    )
    assert short.lines[0].end[0] == (LEFT + RIGHT) / 2
    assert long.lines[0].end[0] == RIGHT


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(0.12345, "", "0.123"), (-21, "", "−21"), (1412.3, "", "1,412"), (1_234_567, "", "1.23M"),
     (87.4, "%", "87%"), (45_600, "", "45.6k"),
     (1359, "/h", "1,359/h"), (45_600, "/h", "45.6k/h")],
)  # fmt: skip
def test_values_are_written_as_people_do(value, unit, text):
    assert written(value, unit) == text


def test_long_curves_are_thinned_and_end_where_they_end(tmp_path):
    run = RunDirectory.create(tmp_path / "run")
    run.metrics.mkdir()
    lines = [{"step": step, "rollout/true_return": float(step % 2)} for step in range(10_001)]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (run.metrics / "policy.jsonl").write_text(text)
    curve = curves_of(run)[0]
    assert len(curve.points) <= MOST_POINTS
    assert curve.points[-1] == (10_000, 0.0)
    assert all(0.4 < value < 0.6 for _, value in curve.points[:-1])


def test_a_growing_file_is_read_on_and_another_one_anew(tmp_path, monkeypatch):
    run = RunDirectory.create(tmp_path / "run")
    run.metrics.mkdir()
    file, parsed, loads = run.metrics / "policy.jsonl", [], json.loads
    monkeypatch.setattr(json, "loads", lambda line: parsed.append(line) or loads(line))

    def write(*steps: int, mode: str = "a", torn: str = "") -> list[float]:
        lines = [json.dumps({"step": step, "rollout/true_return": 1.0}) + "\n" for step in steps]
        with file.open(mode) as opened:
            opened.write("".join(lines) + torn)
        return [step for step, _ in curves_of(run)[0].points]

    assert write(1, 2, 3, torn='{"step"') == [1, 2, 3]
    with file.open("a") as opened:
        opened.write(': 4, "rollout/true_return": 1.0}\n')
    assert write(5) == [1, 2, 3, 4, 5]
    assert len(parsed) == 5  # each line once, though there are several curves in the file
    assert write(7, mode="w") == [7]
    assert write(*range(100, 120), mode="w") == [*range(100, 120)]  # another one, and longer


def test_labels_hold_until_the_next_round_and_to_the_end_of_the_run():
    points = [(100.0, 10.0), (300.0, 20.0)]
    labels = Curve("labels", "Labels", "", "", points, holds=True)
    stairs, _ = charts_of([labels, curve_of((0, 0), (1000, 20))])
    places = [tuple(map(float, place.split(","))) for place in stairs.lines[0].points.split()]
    ends = [LEFT + (RIGHT - LEFT) * share for share in (0.1, 0.3, 0.3, 1.0)]
    assert [x for x, _ in places] == pytest.approx(ends)
    ten, still_ten, twenty, still_twenty = (y for _, y in places)
    assert ten == still_ten > twenty == still_twenty


def test_of_two_rounds_at_one_step_the_last_counts(tmp_path):
    run = RunDirectory.create(tmp_path / "run")
    run.metrics.mkdir()
    lines = [{"step": step, "labels/answered": n} for step, n in ((5, 10), (5, 40), (9, 50))]
    (run.metrics / "reward.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    (labels,) = (curve for curve in curves_of(run) if curve.name == "labels")
    assert labels.points == [(5, 40), (9, 50)]


def test_what_holds_is_thinned_to_values_that_there_were(tmp_path):
    run = RunDirectory.create(tmp_path / "run")
    run.metrics.mkdir()
    lines = [{"step": step, "labels/answered": 10 * step} for step in range(1000)]
    (run.metrics / "reward.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    (labels,) = (curve for curve in curves_of(run) if curve.name == "labels")
    assert 100 < len(labels.points) <= MOST_POINTS
    assert all(value == 10 * step for step, value in labels.points)


def test_every_recipe_has_a_question_of_its_own():
    for recipe in RECIPES.values():
        assert instructions_for(recipe.config.env.id) != GENERAL
    assert instructions_for("my/Task-v0") == GENERAL


def test_a_rate_limit_forgets_those_who_rested():
    limit = RateLimit(Rate(per_second=1, burst=2))
    for n in range(5000):
        assert limit.admits(f"visitor {n}", now=float(n))
    assert len(limit._used) <= 1001
