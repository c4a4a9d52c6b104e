"""Figures about the people: how much they answer, how alike, and how like themselves."""

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from prefrl.labels.events import STANDS
from prefrl.labels.schema import LABELS, QUERIES
from prefrl.types import Answer

REPEATS_ASSUMED = 10
MOST_ERRORS = 0.9  # who always guesses teaches nothing; the loss needs something to hold on to


@dataclass(frozen=True)
class Standing:
    """An answer that counts, and what it was about.

    Attributes:
        query_id: What was answered.
        labeler: Who answered.
        answer: About the sides of the query.
        shown_left: Id of the clip that stood on the left.
        time_to_answer_s: How long it took.
        left: Id of the query's left clip.
        right: Id of the other.
        repeat_of: The query that this one repeats.
    """

    query_id: str
    labeler: str
    answer: Answer
    shown_left: str
    time_to_answer_s: float
    left: str
    right: str
    repeat_of: str | None

    @property
    def better(self) -> str | None:
        """Id of the clip that was chosen; None for `equal` and `incomparable`."""
        return {"left": self.left, "right": self.right}.get(self.answer)

    @property
    def choice(self) -> str:
        """What was chosen, whichever way round the query is stored."""
        return self.better or self.answer


@dataclass(frozen=True)
class LabelerFigures:
    """One labeler in figures.

    Attributes:
        labeler: Who.
        answers: Queries they have answered, repeats included.
        median_time_s: Median time to answer.
        left_share: Of the answers that chose a clip, how many chose the one shown on the left;
            None where none did.
        repeats: Repeats they have answered.
        self_consistency: How many of these they answered as they had answered the original; None
            without repeats.
    """

    labeler: str
    answers: int
    median_time_s: float
    left_share: float | None
    repeats: int
    self_consistency: float | None


def standing(connection: sa.Connection) -> list[Standing]:
    """All answers that count."""
    columns = [{**QUERIES.c, **LABELS.c}[name] for name in Standing.__dataclass_fields__]
    statement = sa.select(*columns).join_from(LABELS, QUERIES).where(STANDS)
    return [Standing(*row) for row in connection.execute(statement)]


def labeler_figures(answers: Iterable[Standing]) -> list[LabelerFigures]:
    """Every labeler in figures, by name."""
    by_labeler: dict[str, list[Standing]] = defaultdict(list)
    for answer in answers:
        by_labeler[answer.labeler].append(answer)
    return [_figures(labeler, theirs) for labeler, theirs in sorted(by_labeler.items())]


def _figures(labeler: str, answers: Sequence[Standing]) -> LabelerFigures:
    alike = _alike(answers)
    lefts = [answer.better == answer.shown_left for answer in answers if answer.better]
    return LabelerFigures(
        labeler,
        answers=len(answers),
        median_time_s=statistics.median(answer.time_to_answer_s for answer in answers),
        left_share=statistics.fmean(lefts) if lefts else None,
        repeats=len(alike),
        self_consistency=statistics.fmean(alike) if alike else None,
    )


def _alike(answers: Sequence[Standing]) -> list[bool]:
    """For each repeat that one labeler answered: whether as the original."""
    return [first.choice == second.choice for first, second in _repeats(answers)]


def _repeats(answers: Sequence[Standing]) -> list[tuple[Standing, Standing]]:
    """Each repeat that has an answer, after the same labeler's answer to the original."""
    given = {(answer.query_id, answer.labeler): answer for answer in answers}
    return [
        (given[answer.repeat_of, answer.labeler], answer)
        for answer in answers
        if answer.repeat_of and (answer.repeat_of, answer.labeler) in given
    ]


def error_rate(answers: Sequence[Standing], usual: float) -> float:
    """With what probability labelers answer at random, judged by their repeats.

    Who guesses between left and right with probability e prefers the other clip with probability
    e / 2, so two answers are alike with probability a = (1 - e / 2)^2 + (e / 2)^2, which is solved
    for e. Repeats in which no clip was chosen say nothing about it.

    Args:
        answers: All that count.
        usual: The rate that is assumed before there are any, with the weight of some repeats: one
            pair that was answered both ways does not yet make a guesser.

    Returns:
        Above 0 and below 1 where the usual rate is.
    """
    alike = [
        first.better == second.better
        for first, second in _repeats(answers)
        if first.better and second.better
    ]
    usually_alike = (1 - usual / 2) ** 2 + (usual / 2) ** 2
    n = REPEATS_ASSUMED + len(alike)
    share = (REPEATS_ASSUMED * usually_alike + sum(alike)) / n
    return min(1 - math.sqrt(max(0.0, 2 * share - 1)), MOST_ERRORS)


def agreement(answers: Iterable[Standing]) -> float | None:
    """How far labelers agree on the same queries: Krippendorff's alpha over left, right and equal.

    Returns:
        1 for perfect agreement, 0 for as much as chance gives; None where nobody overlaps.
    """
    by_query: dict[str, list[str]] = defaultdict(list)
    for answer in answers:
        if answer.repeat_of is None and answer.answer != "incomparable":
            by_query[answer.query_id].append(answer.answer)
    return krippendorff_alpha(by_query.values())


def krippendorff_alpha(units: Iterable[Sequence[Hashable]]) -> float | None:
    """Krippendorff's alpha for nominal data; a unit holds the values that it was given.

    Source: Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section C.

    Returns:
        None where no unit has two values, or where all values are equal (0 / 0).
    """
    compared = [Counter(values) for values in units if len(values) > 1]
    totals = sum(compared, Counter[Hashable]())
    n = totals.total()
    by_chance = n * n - sum(count * count for count in totals.values())
    if not by_chance:
        return None
    differing = sum(
        (unit.total() ** 2 - sum(count * count for count in unit.values())) / (unit.total() - 1)
        for unit in compared
    )
    return 1 - (n - 1) * differing / by_chance
