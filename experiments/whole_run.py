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
        read_s: Seconds for each label that a round reads, while the policy goes on.
        once_s: Seconds of a round that do not depend on its labels, likewise.
        waiting: How many times as fast a round is trained while the policy waits.
    """

    in_a_round: float
    alone: float
    read_s: float
    once_s: float
    waiting: float


def rounds(config: Config) -> range:
    """The labels after which a round is trained; the first, before the policy learns, left out."""
    first = config.initial_labels + config.label.round_labels
    return range(first, config.label.budget + 1, config.label.round_labels)


def round_seconds(config: Config, speeds: Speeds, labels: int) -> float:
    """Seconds until a round over so many labels is published, if the policy goes on meanwhile."""
    predictor = config.predictor
    return predictor.round_epochs * min(labels, predictor.ring) * speeds.read_s + speeds.once_s


def random_steps(config: Config) -> float:
    """Steps of the random policy, whose clips the first labels are about."""
    return config.random_clips(0) * config.env.clip_length / config.policy.clip_fraction


def whole_run(config: Config, speeds: Speeds) -> float:
    """Steps a second of a whole run from its first snapshot on, walked through round by round.

    The oracle is asked for a round's labels when the first of them is due (`Asker`), and the policy
    pauses where it would be more than a round ahead of what it was taught by
    (`LabelSchedule.pause_step`).
    """
    start = round(random_steps(config))
    schedule = LabelSchedule.from_config(config).starting_at(start)
    a_round = config.label.round_labels
    step, seconds = float(start), 0.0
    for labels in rounds(config):
        taught = labels - a_round
        due = schedule.first_step_with(taught + 1)
        alone = max(0.0, due - step)  # until the round begins
        to_pause = schedule.pause_step(taught, a_round) - (step + alone)
        trains_s = round_seconds(config, speeds, labels)
        beside_s = min(trains_s, to_pause / speeds.in_a_round)
        waits_s = (trains_s - beside_s) / speeds.waiting
        seconds += alone / speeds.alone + beside_s + waits_s
        step += alone + beside_s * speeds.in_a_round
    seconds += (config.total_timesteps - step) / speeds.alone
    return (config.total_timesteps - start) / seconds
