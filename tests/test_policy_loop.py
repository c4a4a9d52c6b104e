from dataclasses import replace

import numpy as np
import pytest
from placements import ON_CPU

from prefrl.config import Config, EnvConfig, LabelConfig, PolicyConfig
from prefrl.policy.between_rollouts import ent_coef
from prefrl.policy.loop import make_recorder
from prefrl.policy.model import build_model


def test_the_entropy_bonus_stays_while_labels_are_asked_for_and_then_falls():
    config = Config(
        policy=PolicyConfig(ent_coef=1.0, ent_coef_end=0.2), label=LabelConfig(schedule_end=0.6)
    )
    bonus = [ent_coef(config, done) for done in (0.0, 0.3, 0.6, 0.8, 1.0)]
    assert bonus == pytest.approx([1.0, 1.0, 1.0, 0.6, 0.2])


def test_the_entropy_bonus_never_falls_where_labels_are_asked_for_to_the_end():
    config = Config(
        policy=PolicyConfig(ent_coef=1.0, ent_coef_end=0.2), label=LabelConfig(schedule_end=1.0)
    )
    assert [ent_coef(config, done) for done in (0.0, 1.0)] == [1.0, 1.0]


def test_runs_of_neighbouring_seeds_share_no_start_before_or_while_learning():
    config = Config(env=EnvConfig(id="Pendulum-v1"), policy=PolicyConfig(n_envs=4))
    starts = []
    for seed in range(3):
        mine = replace(config, seed=seed)
        recorder = make_recorder(mine, lambda pair: False)
        starts.append(recorder.reset())
        # SB3 seeds the environments anew when the algorithm is made.
        build_model(mine, recorder, ON_CPU)
        starts.append(recorder.reset())
    assert len(np.unique(np.concatenate(starts), axis=0)) == 24
