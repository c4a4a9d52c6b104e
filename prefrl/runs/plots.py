"""Pictures of a run, drawn from `metrics/` alone."""

from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from prefrl.metrics import read_metrics
from prefrl.run_directory import RunDirectory

BLUE, ORANGE, GREEN, GREY = "#3366aa", "#cc6633", "#338855", "#888888"


def learning_curve(run: RunDirectory, result: dict[str, Any]) -> Path:
    """True return, and how the reward came to be known, against environment steps.

    Returns:
        The path of the PNG.
    """
    policy = read_metrics(run.metrics / "policy.jsonl")
    reward_file = run.metrics / "reward.jsonl"
    reward = read_metrics(reward_file) if reward_file.exists() else []
    figure = Figure(figsize=(8, 6 if reward else 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.subplots(2 if reward else 1, 1, sharex=True, squeeze=False)[:, 0]
    rows[0].plot(*_series(policy, "rollout/true_return"), color=BLUE, label="true return, training")
    for key, colour in (("best_possible", GREEN), ("random_return", GREY)):
        value = result.get(key)
        value = value["mean"] if isinstance(value, dict) else value
        if value is not None:
            rows[0].axhline(value, color=colour, linestyle="--", linewidth=1)
            rows[0].annotate(
                key.replace("_return", " policy").replace("_", " "), (0.01, value), ha="left",
                va="bottom", color=colour, xycoords=("axes fraction", "data"), fontsize=9,
            )  # fmt: skip
    if result.get("true_return"):
        _draw_evaluation(rows[0], result)
    rows[0].set_ylabel("return of an episode")
    rows[0].set_title(f"{result['env']}, seed {result['seed']}, {result['labels']} labels")
    if reward:
        _draw_reward(rows[1], reward)
    rows[-1].set_xlabel("environment steps")
    for axes in rows:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    path = run.plots / "learning_curve.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return path


def _draw_evaluation(axes: Any, result: dict[str, Any]) -> None:
    """The finished policy's return, with its standard deviation over the evaluation episodes."""
    found = result["true_return"]
    axes.errorbar(
        result["env_steps"], found["mean"], found["sd"], color=ORANGE, marker="o", capsize=3,
        label=f"evaluation, {found['episodes']} episodes", zorder=3,
    )  # fmt: skip
    axes.legend(loc="lower right", frameon=False, fontsize=9)


def _draw_reward(axes: Any, reward: list[dict[str, Any]]) -> None:
    axes.plot(
        *_series(reward, "reward/validation_accuracy"), color=ORANGE, marker=".",
        label="accuracy on held-out labels",
    )  # fmt: skip
    axes.plot(
        *_series(reward, "reward/correlation_step"), color=GREEN, marker=".",
        label="correlation with the true reward, per step",
    )  # fmt: skip
    axes.set_ylim(-0.05, 1.05)
    axes.set_ylabel("learned reward")
    labels = axes.twinx()
    labels.plot(
        *_series(reward, "labels/answered"), color=GREY, linewidth=1, drawstyle="steps-post"
    )
    labels.set_ylabel("labels given", color=GREY)
    labels.spines["top"].set_visible(False)
    axes.legend(loc="lower right", frameon=False, fontsize=9)


def _series(lines: list[dict[str, Any]], name: str) -> tuple[list[float], list[float]]:
    points = [(line["step"], line[name]) for line in lines if line.get(name) is not None]
    return [p[0] for p in points], [p[1] for p in points]
