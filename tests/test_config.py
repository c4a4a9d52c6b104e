import dataclasses
from dataclasses import replace

import pytest

from prefrl.config import Config, EnvConfig, LabelConfig


def test_initial_labels_and_clips_follow_from_the_budget():
    config = Config(label=LabelConfig(budget=200, initial_fraction=0.25, pool_size=1000))
    assert (config.initial_labels, config.random_clips(0)) == (50, 100)
    small = replace(config, label=replace(config.label, pool_size=60))
    assert small.random_clips(0) == 60
    assert [small.random_clips(given) for given in (10, 30, 31)] == [40, 0, 0]
    assert replace(config, label=replace(config.label, initial_fraction=1.0)).initial_labels == 200


def test_settings_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        EnvConfig().id = "other"  # type: ignore[misc]
