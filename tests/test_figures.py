import math

import numpy as np
import pytest

from prefrl.labels.desk import LabelDesk
from prefrl.labels.figures import (
    Standing,
    agreement,
    error_rate,
    krippendorff_alpha,
    labeler_figures,
)
from prefrl.labels.store import LabelStore
from prefrl.types import WITHDRAWN, Label, Query


def said(query, answer, labeler="anna", *, shown_left="a", seconds=2.0, of=None, mirrored=False):
    left, right = ("b", "a") if mirrored else ("a", "b")
    return Standing(query, labeler, answer, shown_left, seconds, left, right, of)


def test_left_share_is_of_the_side_on_the_screen():
    answers = [
        said("1", "left"), said("2", "left", shown_left="b"), said("3", "right", shown_left="b"),
        said("4", "left", mirrored=True, shown_left="b"), said("5", "equal"),
    ]  # fmt: skip
    (figures,) = labeler_figures(answers)
    assert (figures.answers, figures.left_share) == (5, 0.75)


def test_who_never_chose_a_clip_has_no_left_share():
    (figures,) = labeler_figures([said("1", "equal"), said("2", "incomparable")])
    assert figures.left_share is None


def test_time_is_the_median_and_labelers_come_by_name():
    answers = [said(str(i), "left", "bert", seconds=s) for i, s in enumerate((1.0, 100.0, 3.0))]
    figures = labeler_figures([*answers, said("1", "left")])
    assert [(one.labeler, one.median_time_s) for one in figures] == [("anna", 2.0), ("bert", 3.0)]


def test_self_consistency_compares_clips_not_sides_and_only_with_oneself():
    answers = [
        said("1", "left"), said("1'", "right", of="1", mirrored=True),  # the same clip
        said("2", "left"), said("2'", "right", of="2"),
        said("3", "equal"), said("3'", "equal", of="3"),
        said("4", "right", "bert"), said("4'", "left", of="4"),
    ]  # fmt: skip
    anna, bert = labeler_figures(answers)
    assert (anna.repeats, anna.self_consistency) == (3, pytest.approx(2 / 3))
    assert (bert.repeats, bert.self_consistency) == (0, None)


def test_alpha_of_krippendorffs_own_example():
    # Four observers, twelve units, some values missing; "Computing Krippendorff's
    # Alpha-Reliability" (2011), section C.
    observers = ["123321412...", "1233224125.3", ".3332342251.", "12332441251."]
    units = [[row[i] for row in observers if row[i] != "."] for i in range(12)]
    assert krippendorff_alpha(units) == pytest.approx(0.743, abs=5e-4)


def test_alpha_is_one_for_agreement_about_zero_by_chance_and_below_for_opposition():
    rng = np.random.default_rng(0)
    chance = krippendorff_alpha(list(rng.choice(["left", "right"], 2)) for _ in range(4000))
    assert krippendorff_alpha([["left"] * 2, ["right"] * 3]) == 1
    assert chance == pytest.approx(0, abs=0.05)
    assert krippendorff_alpha([["left", "right"]] * 10) < -0.8


def test_alpha_is_unknown_without_overlap_or_without_differences():
    assert krippendorff_alpha([]) is None
    assert krippendorff_alpha([["left"], ["right"]]) is None
    assert krippendorff_alpha([["left", "left"]]) is None


def test_agreement_leaves_out_repeats_and_what_cannot_be_compared():
    both = [said(q, a, who) for q, a in (("1", "left"), ("2", "right")) for who in ("anna", "bert")]
    assert agreement(both) == 1
    noise = [
        said("3", "incomparable"), said("3", "left", "bert"),
        said("1'", "right", of="1"), said("1'", "left", "bert", of="1"),
    ]  # fmt: skip
    assert agreement(both + noise) == 1
    assert agreement([*both, said("4", "equal"), said("4", "left", "bert")]) < 1


def test_the_error_rate_is_found_again_from_the_repeats_of_people_who_err():
    rng, rate, answers = np.random.default_rng(0), 0.3, []
    for i in range(4000):
        for id, of in ((str(i), None), (f"{i}'", str(i))):
            guesses = rng.random() < rate
            answers.append(said(id, rng.choice(["left", "right"]) if guesses else "left", of=of))
    assert error_rate(answers, 0.1) == pytest.approx(rate, abs=0.04)


def test_the_error_rate_begins_at_the_usual_one_and_moves_with_repeats_that_chose_a_clip():
    assert error_rate([], 0.1) == pytest.approx(0.1)
    tied = [said("1", "left"), said("2", "equal"), said("2'", "left", of="2")]
    assert error_rate(tied, 0.1) == pytest.approx(0.1)
    alike = error_rate([said("1", "left"), said("1'", "left", of="1")], 0.1)
    unlike = error_rate([said("1", "left"), said("1'", "right", of="1")], 0.1)
    assert 0 < alike < 0.1 < unlike < 0.25


def test_even_of_those_who_contradict_themselves_always_something_is_believed():
    answers = [
        said(id, answer, of=of)
        for i in range(500)
        for id, answer, of in ((str(i), "left", None), (f"{i}'", "right", str(i)))
    ]
    assert error_rate(answers, 0.1) == 0.9


def test_figures_of_a_store_count_only_answers_that_stand(tmp_path, make_clip):
    clips = [make_clip(seed) for seed in range(4)]
    queries = [Query(clips[0].id, clips[1].id), Query(clips[2].id, clips[3].id)]
    repeat = Query(clips[1].id, clips[0].id, repeat_of=queries[0].id)

    def label(id, query, answer, seconds):
        return Label(id, query.id, "anna", answer, 1e9, seconds, query.left)

    with LabelStore.create(tmp_path / "labels.sqlite3", {}) as store:
        desk = LabelDesk(store, np.random.default_rng(0))
        assert (desk.labeler_figures(), desk.agreement()) == ([], None)
        assert math.isclose(store.measured_error_rate(0.1), 0.1)
        store.add_queries([*queries, repeat], {clip.id: clip for clip in clips})
        store.add_labels([
            label("1", queries[0], "right", 50.0), label("2", queries[0], "left", 2.0),
            label("3", queries[1], "left", 9.0), label("4", queries[1], WITHDRAWN, 0.0),
            label("5", repeat, "right", 4.0),
        ])  # fmt: skip
        (figures,) = desk.labeler_figures()
        assert (figures.answers, figures.median_time_s, figures.left_share) == (2, 3.0, 0.5)
        assert (figures.repeats, figures.self_consistency) == (1, 1.0)
        assert desk.agreement() is None
        assert 0 < store.measured_error_rate(0.1) < 0.1
