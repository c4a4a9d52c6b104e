"""The learning curve of one run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prefrl.run_directory import RunDirectory
from prefrl.runs.archive import mean_of, name_of, number_in, text
from prefrl.runs.plots.canvas import LIGHT, Theme, rows, save
from prefrl.runs.series import Line, last_of_each, lines_of, series


def learning_curve(run: RunDirectory, result: dict[str, Any], theme: Theme = LIGHT) -> Path:
    """True return, and how the reward came to be known, against environment steps.

    Args:
        run: Its `metrics/` are drawn.
        result: Of the run, for the evaluation at its end; empty while there is none.
        theme: Colours.

    Returns:
        The path of the PNG.
    """
    policy, reward = lines_of(run, "policy"), lines_of(run, "reward")

    def paint(figure: Figure, theme: Theme) -> None:
        panels = rows(figure, 2 if reward else 1, sharex=True)
        panels[0].plot(
            *series(policy, "rollout/true_return"), color=theme.lines[0],
            label="true return, training",
        )  # fmt: skip
        _paint_bounds(panels[0], result, theme)
        _paint_evaluation(panels[0], result, theme)
        panels[0].set_ylabel("return of an episode")
        panels[0].set_title(_title(run, result))
        panels[0].margins(y=0.12)
        if reward:
            last = max(series(lines, "step")[0].max(initial=0) for lines in (policy, reward))
            _paint_reward(panels[1], reward, last, theme)
        panels[-1].set_xlabel("environment steps")
        figure.legend(loc="outside lower left", ncols=2)

    return save(run.plots / "learning_curve.png", paint, 6.5 if reward else 4, theme)


def _title(run: RunDirectory, result: dict[str, Any]) -> str:
    if not result:
        return name_of(run)
    labels = result.get("labels")
    teacher = "true reward" if labels is None else f"{labels} labels"
    return text(f"{result.get('env')}, seed {result.get('seed')}, {teacher}")


def _paint_bounds(axes: Axes, result: dict[str, Any], theme: Theme) -> None:
    """What the best possible and a random policy get in the evaluation's episodes, if known."""
    for key, name, colour in (
        ("best_possible", "best possible in evaluation", theme.lines[2]),
        ("random_return", "random policy", theme.ink),
    ):
        value = mean_of(result.get(key))
        if value is not None:
            # In the legend: beside the line, a curve would cross it. The sign is that of the axis.
            label = f"{name}: {value:,.1f}".replace("-", "−")
            axes.axhline(value, color=colour, linestyle="--", linewidth=1, label=label)


def _paint_evaluation(axes: Axes, result: dict[str, Any], theme: Theme) -> None:
    """The finished policy's return, with its standard deviation over the evaluation episodes."""
    found = result.get("true_return")
    if not isinstance(found, dict):
        return
    step, mean = number_in(result.get("env_steps")), number_in(found.get("mean"))
    sd, episodes = number_in(found.get("sd")), number_in(found.get("episodes"))
    if step is not None and mean is not None and sd is not None and episodes is not None:
        axes.errorbar(
            step, mean, abs(sd), color=theme.lines[1], marker="o", capsize=3,
            label=f"evaluation, {episodes:g} episodes", zorder=3,
        )  # fmt: skip


def _paint_reward(axes: Axes, reward: Sequence[Line], last: float, theme: Theme) -> None:
    """How good the reward is, and how many labels it comes from, up to the run's last step."""
    for key, colour, label in (
        ("reward/validation_accuracy", theme.lines[1], "accuracy on held-out labels"),
        ("reward/correlation_step", theme.lines[2], "correlation with the true reward, per step"),
    ):
        axes.plot(*last_of_each(series(reward, key)), color=colour, marker=".", label=label)
    axes.set_ylim(min(-0.05, axes.get_ylim()[0]), 1.05)
    axes.set_ylabel("learned reward")
    labels = axes.twinx()
    steps, given = last_of_each(series(reward, "labels/answered"))
    labels.plot(
        np.append(steps, last), np.append(given, given[-1:] if given.size else np.nan),
        color=theme.lines[3], drawstyle="steps-post",
    )  # fmt: skip
    labels.set_ylabel("labels given", color=theme.lines[3])
    labels.tick_params(axis="y", colors=theme.lines[3])
    labels.set_ylim(bottom=0)
    labels.grid(False)
