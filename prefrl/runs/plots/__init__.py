"""Pictures of runs, drawn from `metrics/` alone."""

from pathlib import Path

from prefrl.run_directory import RunDirectory, read_object
from prefrl.runs.plots.canvas import THEMES
from prefrl.runs.plots.learning import learning_curve
from prefrl.runs.plots.processes import memory, time_by_phase
from prefrl.runs.plots.reward import calibration, label_timeline, predicted_against_true

__all__ = ["draw_run", "learning_curve"]


def draw_run(run: RunDirectory) -> list[Path]:
    """Every picture of a run that there are figures for, in both themes.

    Raises:
        RunError: The figures are damaged.
    """
    result = read_object(run.result)
    pictures = [
        picture
        for theme in THEMES
        for picture in (
            learning_curve(run, result, theme),
            predicted_against_true(run, theme),
            calibration(run, theme),
            label_timeline(run, theme),
            time_by_phase(run, theme),
            memory(run, theme),
        )
    ]
    return sorted(picture for picture in pictures if picture is not None)
