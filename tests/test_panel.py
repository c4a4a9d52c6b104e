"""The panel below a replay: curves, bands and numbers stand where the rewards say."""

import cv2
import numpy as np
import pytest
from drawn_curve import row_of

from prefrl.runs.panel import (
    CURVE,
    FOOT,
    GROUND,
    HEAD,
    MARGIN,
    PLOT,
    PREDICTED,
    TEXT,
    TRUE,
    Panel,
    curves,
    to_one_scale,
)


def test_the_curve_drawn_is_the_mean_of_the_members_and_the_band_spans_them():
    rng = np.random.default_rng(0)
    smooth = np.cumsum(rng.normal(size=20))
    predicted = smooth + np.array([[-2.0], [0.3], [2.0]])
    (curve, _) = curves(predicted, np.zeros(20))
    canvas = Panel([curve], 320 + MARGIN).draw(20)[:, MARGIN:]  # 16 pixels a step
    per_unit = (PLOT - 5) / (curve.high - curve.low)
    for i in range(19):
        x = round((i + 0.5) * 16)
        mean, low, high = predicted[:, i].mean(), predicted[:, i].min(), predicted[:, i].max()
        assert row_of(canvas, x, PREDICTED) == pytest.approx(
            2 + (curve.high - mean) * per_unit, abs=1.5
        )
        painted = np.flatnonzero(np.abs(canvas[HEAD : HEAD + PLOT, x].astype(int) - GROUND).sum(1))
        inside = [2 + (curve.high - value) * per_unit for value in (high, low)]
        assert painted.min() <= inside[0] + 1
        assert painted.max() >= inside[1] - 1


def test_the_line_stands_at_the_newest_reward_and_later_ones_are_dim():
    panel = Panel(curves(None, np.ones(20)), 320 + MARGIN)
    for t in (4, 8, 20):
        canvas = panel.draw(t)[:, MARGIN:]
        x = round((t - 0.5) * 16)
        assert (canvas[HEAD : HEAD + PLOT, x] == TEXT).all()
        row = 2
        if t < 20:
            assert canvas[HEAD + row, x + 16].sum() < 0.7 * canvas[HEAD + row, x - 4].sum()


def test_long_episodes_scroll():
    true = np.zeros(1000)
    true[500] = 1.0
    panel = Panel(curves(None, true), 320 + MARGIN)  # 160 steps fit
    later = panel.draw(520)[:, MARGIN:]
    assert row_of(later, 121, TRUE) < 5  # 20 steps to the left of the line in the middle
    assert row_of(later, 60, TRUE) > 50
    seen = [panel.draw(t)[HEAD : HEAD + PLOT, : MARGIN + 150] for t in (300, 310)]
    assert (seen[0] == seen[1]).all()  # 0 throughout


def test_the_panel_numbers_its_axes_and_says_which_steps_of_which_episode_it_shows(monkeypatch):
    texts: list[str] = []
    monkeypatch.setattr(cv2, "putText", lambda *args: texts.append(args[1]))
    (curve,) = curves(None, np.linspace(-2.5, 0.75, 250))
    panel = Panel([curve], 320 + MARGIN, "episode 2 of 2")
    panel.draw(120)
    assert {"-2.5", "0.75", "step 120 of 250", "episode 2 of 2"} <= set(texts)
    assert {"41", "200", "160 steps shown"} <= set(texts)
    texts.clear()
    panel.draw(250)
    assert {"91", "250", "step 250 of 250"} <= set(texts)
    texts.clear()
    Panel(curves(None, np.ones(20)), 320).draw(3)
    assert {"1", "20", "step 3 of 20"} <= set(texts)
    assert not any("shown" in text or "episode" in text for text in texts)


def test_two_clips_are_drawn_to_one_scale():
    first, second = curves(None, np.array([0.0, 1.0])), curves(None, np.array([-3.0, 0.0]))
    for shown in to_one_scale(first, second):
        assert (shown[0].low, shown[0].high) == (-3, 1)


def test_constant_rewards_can_be_drawn():
    for value in (0.0, 5.0):
        panel = Panel(curves(np.full((3, 4), value), np.full(4, value)), 320)
        assert panel.draw(0).shape == panel.draw(4).shape == (2 * CURVE + FOOT, 320, 3)
