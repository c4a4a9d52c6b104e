"""The people who answer, as rows of a table."""

from collections.abc import Mapping
from typing import Any

from prefrl.labels.desk import LabelDesk
from prefrl.labels.figures import LabelerFigures
from prefrl.types import Answer

# In the words of the page's buttons.
ANSWER_NAMES: Mapping[Answer, str] = {
    "left": "left", "right": "right", "equal": "equal", "incomparable": "can’t tell",
}  # fmt: skip


def labelers_table(desk: LabelDesk) -> dict[str, Any]:
    """What `labelers.html` shows."""
    return {
        "labelers": [_written(figures) for figures in desk.labeler_figures()],
        "agreement": _agreement(desk.agreement()),
    }


def _written(figures: LabelerFigures) -> dict[str, Any]:
    consistency = _share(figures.self_consistency)
    return {
        "name": figures.labeler,
        "answers": f"{figures.answers:,}",
        "time": f"{figures.median_time_s:.1f} s",
        "left": _share(figures.left_share),
        "consistency": f"{consistency} of {figures.repeats}" if figures.repeats else "–",
    }


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def _agreement(alpha: float | None) -> str:
    if alpha is None:
        return "No two people have answered the same pair."
    return f"Agreement between people, Krippendorff’s alpha: {alpha:.2f} (1 perfect, 0 chance)."
