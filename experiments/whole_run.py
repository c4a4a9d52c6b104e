"""How many steps a second does a whole run make, from how fast its parts are?"""

from dataclasses import dataclass

from prefrl.config import Config
from prefrl.reward.schedule import LabelSchedule


@dataclass(frozen=True)
class Speeds:
    """What is measured in a short run.

    Attributes:
        in_a_round: Steps a second of the policy while a round is trained.
        alone: The same while none is.
        read_s: Seconds for each label that a round reads.
        once_s: Seconds of a round that do not depend on its labels.
    """

    in_a_round: float
    alone: float
    read_s: float
    once_s: float


def rounds(config: Config) -> range:
    """The labels after which a round is trained; the first, before the policy learns, left out."""
    first = config.initial_labels + config.label.round_labels
    return range(first, config.label.budget + 1, config.label.round_labels)


def round_seconds(config: Config, speeds: Speeds, labels: int) -> float:
    """Seconds until a round over so many labels is published."""
    predictor = config.predictor
    return predictor.round_epochs * min(labels, predictor.ring) * speeds.read_s + speeds.once_s


def whole_run(config: Config, speeds: Speeds) -> float:
    """Steps a second of a whole run from its first snapshot on, walked through round by round.

    The policy pauses where a round's labels are due and the round before is still trained, and
    waits for the last one (`LabelSchedule.pause_step`).
    """
    schedule = LabelSchedule.from_config(config)
    now = trained = step = 0.0
    for labels in rounds(config):
        due = schedule.first_step_with(labels)
        beside = min(due - step, (trained - now) * speeds.in_a_round)  # until that one is trained
        now = max(trained, now + beside / speeds.in_a_round + (due - step - beside) / speeds.alone)
        trained = now + round_seconds(config, speeds, labels)
        step = due
    return config.total_timesteps / (trained + (config.total_timesteps - step) / speeds.alone)
