"""Runs side by side: what differs, and curves that say no more than the seeds allow."""

import json

import cv2
import numpy as np
import pytest
import scipy.stats
from archived_run import RESULT, archived, write_figures

from prefrl.cli import main
from prefrl.run_directory import RunError, write_json
from prefrl.runs.comparison import band, band_of, curves_of, final_return, group_runs
from prefrl.runs.differences import all_differences, differing, flat
from prefrl.runs.plots.comparison import _legend, _legend_title


def evaluated(mean):
    return {**RESULT, "true_return": {"mean": mean, "sd": 1.0, "episodes": 20}}


@pytest.fixture
def seeds(tmp_path):
    """Five seeds with 100 labels, one with 200."""
    runs = [
        archived(tmp_path / f"few-{seed}", seed=seed, labels=100, result=evaluated(10.0 * seed))
        for seed in range(5)
    ]
    runs.append(archived(tmp_path / "many", labels=200, result=evaluated(99.0)))
    for i, run in enumerate(runs):
        write_figures(run, [float(value + i) for value in range(8)], every_s=10.0 + i)
    return runs


@pytest.fixture
def compared(capsys, tmp_path):
    def run(runs):
        folder = tmp_path / "pictures"
        assert main(["compare", *(str(r.path) for r in runs), "--out", str(folder), "--json"]) == 0
        return json.loads(capsys.readouterr().out), folder

    return run


def test_only_what_differs_is_told():
    records = [flat({"a": {"b": 1, "c": 2}, "d": 3}), flat({"a": {"b": 1, "c": 4}})]
    assert differing(records) == {"a.c": [2, 4], "d": [3, None]}


def test_differences_of_code_packages_and_machine():
    one = {
        "git_revision": "abc", "git_diff": "+x", "packages": {"numpy": "2.0", "av": "1"},
        "cores": 2, "accelerators": [], "code": {"prefrl": "1" * 64},
    }  # fmt: skip
    two = {**one, "git_diff": "+y", "packages": {"numpy": "2.1"}, "cores": 4,
           "code": {"prefrl": "2" * 64}}  # fmt: skip
    found = all_differences([{}, {}], [one, two])
    assert found["settings"] == {}
    assert set(found["code"]) == {"uncommitted changes", "source of prefrl"}
    assert found["packages"] == {"numpy": ["2.0", "2.1"], "av": ["1", None]}
    assert found["machine"] == {"cores": [2, 4]}


def test_seeds_of_one_configuration_are_one_curve(seeds):
    few, many = group_runs(seeds)
    assert [entry.name for entry in few.entries] == [f"few-{seed}" for seed in range(5)]
    assert (few.title, many.title) == ("budget 100", "budget 200")
    assert few.note == ""
    assert many.note == "1 seed: no interval, which needs at least 4"


def test_a_curve_stands_against_steps_labels_and_time(seeds):
    curves = curves_of(seeds[0])
    steps, returns = curves["env_steps"]
    assert steps.tolist() == [1000.0 * i for i in range(1, 9)]
    assert returns.tolist() == [float(i) for i in range(8)]
    assert [values.tolist() for values in curves["labels"]] == [[10, 20, 30, 40], [1, 3, 5, 7]]
    assert curves["wall_s"][0].tolist() == [10.0 * i for i in range(1, 9)]


def test_the_curve_over_seeds_is_scipys_trimmed_mean_with_an_interval_around_it(seeds):
    (few, _) = group_runs(seeds)
    curves = [curve["env_steps"] for curve in few.curves]
    found = band(curves, np.random.default_rng(0))
    values = [np.interp(found.x, x, y) for x, y in curves]
    assert found.mean == pytest.approx(scipy.stats.trim_mean(values, 0.25))
    low, high = found.interval
    assert (low < found.mean).all()
    assert (found.mean < high).all()
    assert (low >= np.min(values, axis=0)).all()


def test_a_curve_over_seeds_ends_where_the_first_of_them_ends():
    x = np.arange(5.0)
    found = band([(x, x), (x[:3], x[:3] + 2)], np.random.default_rng(0))
    assert (found.x[0], found.x[-1]) == (0, 2)
    assert found.mean == pytest.approx(found.x + 1)
    assert found.interval is None
    assert band([(x, x), (x + 10, x)], np.random.default_rng(0)) is None


def test_over_seeds_a_return_stands_at_the_mean_time_to_its_step(seeds):
    (few, _) = group_runs(seeds)
    steps = band_of(few, "env_steps", np.random.default_rng(0))
    found = band_of(few, "wall_s", np.random.default_rng(0))
    assert found.mean.tolist() == steps.mean.tolist()
    # Rollouts end every 10 to 14 s: after 8 of them 80 to 112 s have passed.
    assert (found.x[0], found.x[-1]) == pytest.approx((12, 96))


def test_unfinished_runs_have_no_say_in_the_final_return(seeds):
    (few, _) = group_runs(seeds)
    found = final_return(few, np.random.default_rng(0))
    assert (found["seeds"], found["interquartile_mean"]) == (5, 20.0)
    assert found["interval"][0] < 20 < found["interval"][1]
    seeds[4].result.write_text(json.dumps({**evaluated(1e6), "status": "stopped"}))
    (few, _) = group_runs(seeds)
    found = final_return(few, np.random.default_rng(0))
    assert (found["seeds"], found["interquartile_mean"]) == (4, 15.0)


def test_too_few_that_finished_are_said_to_be_the_reason(seeds, compared, capsys, tmp_path):
    for run in seeds[3:5]:
        run.result.unlink()
    found, folder = compared(seeds)
    (few, many) = found["configurations"]
    assert few["note"] == ""  # the curve of training episodes has its five seeds
    assert few["true_return"]["interval"] is None
    assert few["true_return"]["note"] == "3 finished seeds: no interval, which needs at least 4"
    assert many["true_return"]["note"].startswith("1 finished seed: ")
    assert main(["compare", *(str(run.path) for run in seeds), "--out", str(folder)]) == 0
    out = capsys.readouterr().out
    assert out.count("An interval needs at least 4 finished seeds of a configuration.") == 1
    assert "no interval" not in out


def test_no_interval_is_promised_where_seeds_have_no_step_in_common(seeds):
    path = seeds[4].metrics / "policy.jsonl"
    path.write_text("")
    (few, many) = group_runs(seeds)
    curves = [band_of(group, "env_steps", np.random.default_rng(0)) for group in (few, many)]
    assert curves[0] is None
    assert _legend(few, None) == "budget 100 (5 seeds, not all with values at the same steps)"
    assert _legend(many, curves[1]) == "budget 200 (1 seed)"
    assert "from 4 on with its 95% bootstrap interval" in _legend_title([few, many])
    assert _legend_title([many]) == "An interval needs at least 4 seeds of a configuration"


@pytest.mark.parametrize(
    "fact",
    [{"prefrl_command": "gather"}, {"labels_from": "runs/other"}, {"reward_from": "runs/other"},
     {"code": {"prefrl": "f" * 64}}],
)  # fmt: skip
def test_runs_that_began_differently_are_no_seeds_of_one_configuration(tmp_path, fact, compared):
    runs = [archived(tmp_path / f"run{seed}", seed=seed) for seed in range(4)]
    origin = json.loads(runs[3].provenance.read_text())
    write_json(runs[3].provenance, origin | fact)
    found, _ = compared(runs)
    same, other = found["configurations"]
    assert (same["runs"], other["runs"]) == (["run0", "run1", "run2"], ["run3"])
    ((key, value),) = fact.items()
    if key == "code":
        assert other["title"] == f"source of prefrl {'f' * 12}"
    else:
        assert other["title"] == f"{key} {value}"
        assert found["differences"]["settings"][key] == [None, None, None, value]


def test_names_and_titles_tell_apart_what_they_name(tmp_path, compared):
    runs = [archived(tmp_path / name / "seed0") for name in ("a", "b")]
    config = json.loads(runs[1].config.read_text())
    config["policy"]["batch_size"] = config["predictor"]["batch_size"] = 7
    write_json(runs[1].config, config)
    found, _ = compared(runs)
    assert found["runs"] == ["a/seed0", "b/seed0"]
    assert [one["runs"] for one in found["configurations"]] == [["a/seed0"], ["b/seed0"]]
    title = found["configurations"][1]["title"]
    assert title == "policy.batch_size 7, predictor.batch_size 7"


def test_settings_too_many_for_a_title_are_kept_beside_the_name(tmp_path):
    runs = [archived(tmp_path / name) for name in "ab"]
    config = json.loads(runs[1].config.read_text())
    config["label"] |= {"budget": 7, "wait": False, "pool_size": 9, "ahead": 3}
    write_json(runs[1].config, config)
    first, second = group_runs(runs)
    assert (first.title, second.title) == ("a", "b")
    own = {"label.budget": 7, "label.wait": False, "label.pool_size": 9, "label.ahead": 3}
    assert second.own == own
    config = json.loads(runs[0].config.read_text())
    config["label"] |= {"wait": False}
    write_json(runs[1].config, config)
    first, second = group_runs(runs)
    assert (second.title, second.own) == ("wait no", {})


def test_the_command_tells_all_and_draws_png_and_svg_in_both_themes(seeds, compared):
    found, folder = compared(seeds)
    assert found["differences"]["settings"]["label.budget"] == [100] * 5 + [200]
    assert found["configurations"][1]["note"].startswith("1 seed: no interval")
    assert found["configurations"][1]["true_return"]["interval"] is None
    names = {path.name for path in folder.iterdir()}
    stem = "learning_curves"
    assert names == {f"{stem}.png", f"{stem}-dark.png", f"{stem}.svg", f"{stem}-dark.svg"}
    light, dark = (cv2.imread(str(folder / f"{stem}{end}.png")) for end in ("", "-dark"))
    assert light.shape == dark.shape
    assert light.shape[1] == 960
    assert light[0, 0].min() > 250
    assert dark[0, 0].max() < 50
    assert (folder / f"{stem}.svg").read_text().count("<svg ") == 1


def test_a_baseline_has_no_place_on_the_axis_of_labels(seeds, compared):
    policy = seeds[5].metrics / "policy.jsonl"
    policy.write_text(policy.read_text().replace("policy/snapshot_labels", "other"))
    assert "labels" not in curves_of(seeds[5])
    compared(seeds)


def test_runs_without_figures_can_still_be_compared(tmp_path, compared):
    runs = [archived(tmp_path / name, seed=seed, result=None) for seed, name in enumerate("ab")]
    found, _ = compared(runs)
    assert found["differences"]["settings"] == {"seed": [0, 1]}
    assert found["configurations"][0]["true_return"]["seeds"] == 0


def test_the_same_seed_twice_is_no_second_sample(tmp_path):
    runs = [archived(tmp_path / name) for name in ("one", "two")]
    with pytest.raises(RunError, match="one and two have configuration and seed in common"):
        group_runs(runs)


@pytest.mark.parametrize("damage", ['{"step": 1\n', "[1]\n", "\udcff\n"])
def test_damaged_figures_are_one_line(tmp_path, capsys, damage):
    runs = [archived(tmp_path / name, seed=seed) for seed, name in enumerate("ab")]
    for run in runs:
        write_figures(run, [1.0, 2.0])
    path = runs[1].metrics / "policy.jsonl"
    path.write_bytes(damage.encode(errors="surrogateescape") + path.read_bytes())
    assert main(["compare", *(str(run.path) for run in runs), "--out", str(tmp_path / "o")]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"prefrl: {path}: ")
    assert err.count("\n") == 1
    assert main(["plot", str(runs[1].path)]) == 2


def test_figures_of_a_wrong_kind_are_left_out(tmp_path, compared):
    run = archived(tmp_path / "a")
    write_figures(run, [1.0, 2.0, 3.0])
    path = run.metrics / "policy.jsonl"
    path.write_text(path.read_text().replace('"rollout/true_return": 2.0',
                                             '"rollout/true_return": "$x"'))  # fmt: skip
    assert curves_of(run)["env_steps"][1].tolist() == [1.0, 3.0]
    other = archived(tmp_path / "b", seed=1)
    write_json(other.provenance, {"started_at": "$", "packages": 3, "code": [], "git_diff": {}})
    compared([run, other])


def test_one_run_is_nothing_to_compare(tmp_path, capsys):
    assert main(["compare", str(archived(tmp_path / "a").path)]) == 2
    assert "two or more" in capsys.readouterr().err


@pytest.mark.parametrize(("env", "said"), [("Pendulum-v1", True), (None, False)])
def test_returns_of_different_tasks_are_said_not_to_compare(tmp_path, capsys, env, said):
    runs = [archived(tmp_path / name, seed=seed) for seed, name in enumerate("ab")]
    if env:
        config = json.loads(runs[1].config.read_text())
        config["env"]["id"] = env
        runs[1].config.write_text(json.dumps(config))
    assert main(["compare", *(str(run.path) for run in runs), "--out", str(tmp_path / "o")]) == 0
    assert ("different tasks" in capsys.readouterr().out) is said
