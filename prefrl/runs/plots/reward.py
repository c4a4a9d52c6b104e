"""How good the learned reward is: against the true one, and how sure it may be of itself."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prefrl.metrics import correlation
from prefrl.run_directory import RunDirectory
from prefrl.runs.plots.canvas import Theme, clock_unit, rows, save
from prefrl.runs.series import Line, lines_of, series

POLICIES = {"random": "random policy", "final": "final policy"}


def predicted_against_true(run: RunDirectory, theme: Theme) -> Path | None:
    """A dot for each stretch of the evaluation that is as long as a clip."""
    lines = lines_of(run, "evaluation")
    if not lines:
        return None

    def paint(figure: Figure, theme: Theme) -> None:
        (axes,) = rows(figure, 1)
        for (policy, title), colour in zip(POLICIES.items(), theme.lines, strict=False):
            theirs = [line for line in lines if line.get("policy") == policy]
            true, predicted = series(theirs, "predicted_reward", "true_reward")
            r = correlation(true, predicted) if true.size else float("nan")
            found = f"{title}: r = {r:.2f}, {true.size} clips"
            axes.scatter(true, predicted, s=16, alpha=0.5, linewidths=0, color=colour, label=found)
        axes.set_xlabel("true reward of a clip, summed")
        axes.set_ylabel("predicted reward, summed (normalised)")
        axes.set_title("Predicted against true reward in the evaluation")
        figure.legend(loc="outside lower left", ncols=2)

    return save(run.plots / "predicted_against_true.png", paint, 5, theme)


def calibration(run: RunDirectory, theme: Theme) -> Path | None:
    """Reliability of the newest predictor on labels held out, and its error over the rounds."""
    rounds = [
        line for line in lines_of(run, "reward") if _is_diagram(line.get("reward/calibration"))
    ]
    if not rounds:
        return None

    def paint(figure: Figure, theme: Theme) -> None:
        diagram, history = rows(figure, 2, height_ratios=(2, 1))
        _paint_diagram(diagram, rounds[-1], theme)
        history.plot(*series(rounds, "reward/calibration_error"), color=theme.lines[0], marker=".")
        history.set_ylim(bottom=0)
        history.set_xlabel("environment steps")
        history.set_ylabel("expected\ncalibration error")

    return save(run.plots / "calibration.png", paint, 6.5, theme)


def _is_diagram(bins: object) -> bool:
    """Whether these are rows of three numbers, as they should be."""
    return isinstance(bins, list) and all(
        isinstance(row, list) and len(row) == 3 and all(isinstance(v, int | float) for v in row)
        for row in bins
    )


def _paint_diagram(axes: Axes, newest: Line, theme: Theme) -> None:
    bins = np.array(newest["reward/calibration"], np.float64).reshape(-1, 3)
    pairs, predicted, agreed = bins[bins[:, 0] > 0].T
    axes.plot(
        [0.5, 1], [0.5, 1], color=theme.faint, linestyle="--", linewidth=1,
        label="as often as predicted",
    )  # fmt: skip
    axes.scatter(
        predicted, agreed, s=40 + 400 * pairs / pairs.sum(), color=theme.lines[0], alpha=0.8,
        label="newest round, with the number of predictions",
    )  # fmt: skip
    for n, x, y in zip(pairs, predicted, agreed, strict=True):
        axes.annotate(f"{n:,.0f}", (x, y), xytext=(-14, 0), textcoords="offset points", ha="right",
                      va="center", fontsize=10)  # fmt: skip
    axes.set_xlim(0.48, 1.02)
    axes.set_ylim(min(0.4, agreed.min() - 0.1), 1.1)
    axes.legend(loc="lower right")
    axes.set_xlabel("predicted preference for the clip taken to be better")
    axes.set_ylabel("share of answers that agree")
    error = newest.get("reward/calibration_error")
    shown = f"{error:.3f}" if isinstance(error, int | float) else "unknown"
    axes.set_title(f"Reliability on held-out labels: expected calibration error {shown}")


def label_timeline(run: RunDirectory, theme: Theme) -> Path | None:
    """When labels came: against environment steps and by the clock."""
    reward, timing = lines_of(run, "reward"), lines_of(run, "timing-reward")
    steps, answered = series(reward, "labels/answered")
    if not steps.size:
        return None

    def paint(figure: Figure, theme: Theme) -> None:
        by_step, by_clock = rows(figure, 2)
        by_step.plot(*series(reward, "labels/due"), color=theme.faint, linestyle="--", marker=".",
                     label="due by the schedule")  # fmt: skip
        by_step.plot(steps, answered, color=theme.lines[0], marker=".", drawstyle="steps-post",
                     label="answered")  # fmt: skip
        by_step.set_xlabel("environment steps")
        by_step.set_title("Labels at each training round")
        by_step.legend(loc="lower right")
        clock = series(timing, "wall_clock_s")[1][: answered.size]  # a round writes to both files
        seconds = clock - clock[:1]
        unit, length = clock_unit(seconds.max(initial=0))
        by_clock.plot(seconds / length, answered[: clock.size], color=theme.lines[0], marker=".",
                      drawstyle="steps-post")  # fmt: skip
        by_clock.set_xlabel(f"time since the first round ({unit})")
        for axes in (by_step, by_clock):
            axes.set_ylabel("labels")
            axes.set_ylim(bottom=0)

    return save(run.plots / "label_timeline.png", paint, 5.5, theme)
