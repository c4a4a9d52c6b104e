"""Every setting of every component: frozen, typed, with its source beside it.

A run's configuration is made once, from a recipe, a file and the command line (in this order), and
is recorded whole in `config.json`. Sources: "paper" is Christiano et al. 2017 (arXiv 1706.03741),
"reproduction" is mrahtz/learning-from-human-preferences (2018).
"""

import math
from dataclasses import dataclass, field
from typing import Annotated, Literal

from tyro.conf import Suppress, arg

Terminations = Literal["hide", "penalty", "keep"]
Input = Literal["observation", "action", "next_observation"]
AtariScore = Literal["shown", "masked", "cropped"]
AtariEpisodes = Literal["game", "life", "rally"]
AtariActions = Literal["full", "minimal", "reduced"]

# Fewer first labels leave some member with nothing to train on or nothing held out.
LEAST_INITIAL_LABELS = 10


class ConfigError(ValueError):
    """A setting that cannot work: one line that says what was wrong and what to do."""


@dataclass(frozen=True)
class EnvConfig:
    """The task: which environment, in exactly which form."""

    id: Annotated[str, Suppress] = "prefrl/MovingDotPosition-v0"
    """A registered Gymnasium id. The recipes of Atari games put them into the paper's form; by id,
    `ALE/<Game>-v5`, they come as the settings below say."""
    import_modules: Annotated[tuple[str, ...], arg(name="import", aliases=("--env-import",))] = ()
    """Modules imported first; they register your own environments."""
    terminations: Annotated[Terminations, arg(aliases=("--terminations",))] = "hide"
    """What an end that is no time limit becomes. `hide`: the agent is not told, and values
    bootstrap through it (paper, Atari). `penalty`: hidden too, and the oracle sees a penalty
    (paper, physics). `keep`: the agent is told."""
    termination_penalty: float = 10.0
    """Subtracted from the true reward of the last step with `--terminations penalty` (paper: not
    given); `--reward true` learns from that too, but returns that people read stay as they are."""
    clip_rewards: bool = False
    """What the oracle compares, and what `--reward true` learns from, is the sign of each reward
    (paper, Atari: yes). Returns that people read stay as they are."""
    clip_length: int = 25
    """Decisions in a clip (paper: 25 for Atari, 1.5 s for physics)."""
    arguments: tuple[str, ...] = ()
    """The environment's own arguments, such as `frame_skip=8`; values are JSON or plain text."""
    time_limit: int = 0
    """Steps after which an episode ends. 0: the environment's own limit, or 1,000 without one (of
    Atari: 108,000 frames)."""
    image_size: int = 84
    """Side of the square grey frames that images are turned into (paper: 84)."""
    frame_stack: int = 4
    """Frames in one image observation (paper: 4). Vectors are not stacked."""
    atari_backend: Literal["native", "sb3"] = "native"
    """`native`: ale-py's vector environment, threaded C++. `sb3`: SB3's Python wrappers."""
    atari_frame_skip: int = 4
    """Emulator frames a decision (paper: 4)."""
    atari_noop_max: int = 30
    """Up to this many no-ops begin an episode (paper: as in Mnih et al. 2015, 30)."""
    atari_score: AtariScore = "shown"
    """`masked`: agent and predictor see black where a game of the paper shows its score (paper).
    `cropped`: they see the field alone, enlarged (Pong). People see the whole screen."""
    atari_episodes: AtariEpisodes = "game"
    """`life`: a lost life ends an episode and the game goes on (paper: for the agent that learns
    from the true reward). `rally`: each point of Pong does. It is so in evaluation too; wants
    `--terminations keep`."""
    atari_actions: AtariActions = "minimal"
    """`full`: all 18 of the joystick. `minimal`: those the game knows (ALE's
    `full_action_space=False`). `reduced`: without those that do the same (Pong: 3)."""
    atari_repeat_action_probability: float = 0.0
    """With which the emulator repeats the last action, frame by frame (`-v5` games: 0.25)."""

    @property
    def end_penalty(self) -> float:
        """What the oracle sees subtracted where an episode ends by itself."""
        return self.termination_penalty if self.terminations == "penalty" else 0.0


@dataclass(frozen=True)
class PolicyConfig:
    """The policy and how SB3 trains it. Names are SB3's own."""

    algo: Annotated[Literal["ppo", "a2c"], arg(aliases=("--algo",))] = "ppo"
    """The algorithm (paper: A2C for Atari, TRPO for physics)."""
    n_envs: Annotated[int, arg(aliases=("--n-envs",))] = 8
    """Environments stepped together."""
    n_steps: int = 128
    """Steps of each environment in a rollout."""
    batch_size: int = 256
    """PPO's minibatch."""
    n_epochs: int = 4
    """PPO's passes over a rollout."""
    learning_rate: float = 3e-4
    """At the start."""
    learning_rate_end: float = 3e-4
    """At the end of training; linear in between."""
    gamma: float = 0.99
    """Discount."""
    gae_lambda: float = 0.95
    """Generalised advantage estimation; A2C's own value is 1."""
    clip_range: float = 0.2
    """PPO's clip range."""
    ent_coef: float = 0.01
    """Weight of the entropy bonus while labels are asked for. A policy that keeps exploring makes
    clips from which there is something to learn."""
    ent_coef_end: float = 0.01
    """At the end of training; linear from the last label on (`--label.schedule-end`; with 1 it
    never falls)."""
    vf_coef: float = 0.5
    """Weight of the value loss."""
    max_grad_norm: float = 0.5
    """Gradient clipping."""
    use_sde: bool = False
    """SB3's generalised state-dependent exploration, for continuous actions."""
    sde_sample_freq: int = 4
    """Steps between new exploration noise with `use_sde`."""
    standard_pixels: bool = True
    """Pixels enter less what each is on average, over their common deviation. Without: over 255."""
    keypoints: int = 0
    """Filters of which the policy sees where on the frame they respond; for tasks about positions.
    0: images pass the convolutions of Mnih et al. 2015."""
    net_arch: tuple[int, ...] = (64, 64)
    """Hidden layers of policy and value networks on vectors and keypoints."""
    activation: Literal["tanh", "relu"] = "tanh"
    """Between them (SB3's own: tanh)."""
    clip_fraction: float = 1.0
    """Fraction of the stretches of `clip_length` steps that are recorded as clips."""


@dataclass(frozen=True)
class RewardConfig:
    """The reward predictor and how it is fitted."""

    inputs: tuple[Input, ...] = ("observation", "action")
    """What the predictor sees of a step (paper: observation and action)."""
    members: int = 3
    """Predictors in the ensemble (paper: 3)."""
    device: Literal["same", "cpu", "cuda"] = "same"
    """Where its networks live, if not where the policy's do."""
    standard_pixels: bool = True
    """As `--policy.standard-pixels`, of the predictor's images."""
    keypoints: int = 0
    """Filters of which a member sees where on the frame they respond; for tasks about positions.
    0: images pass the paper's convolutions, and a dense layer of 64 (paper)."""
    hidden: tuple[int, ...] = (64, 64)
    """Dense layers on vectors and keypoints (paper, of vectors: two of 64)."""
    dropout: float = 0.5
    """Dropout on every convolution (paper: 0.5). Vectors and keypoints have none."""
    dropout_masks: Literal["shared", "independent"] = "shared"
    """Whether the two clips of a pair are seen through the same dropout mask."""
    batch_norm: bool = True
    """Batch norm on every convolution (paper: yes). Vectors and keypoints have none."""
    error_rate: Annotated[float | Literal["measured"], arg(aliases=("--error-rate",))] = 0.1
    """Probability with which a labeler is taken to answer at random (paper: 0.1). `measured`: as
    people's answers to repeated pairs show it, and 0.1 before there are any."""
    target_deviation: float = 1.0
    """Standard deviation of the normalised reward (paper: 0.05 for Atari, 1 for physics)."""
    target_mean: float = 0.0
    """Mean of the normalised reward, in deviations (paper: 0). Below 0, what the policy does now
    looks worse than what it has not tried, whose value begins at 0: optimism. Not with
    `--terminations keep`, where it would pay to end early."""
    deviation_floor: float = 1e-3
    """A member's deviation is never taken to be smaller than this."""
    normalise_over_clips: int = 256
    """The last so many clips received give each member's mean and deviation."""
    learning_rate: float = 3e-4
    """The optimiser's (paper: not given; reproduction: 2e-4)."""
    optimiser: Literal["adam", "sgd"] = "adam"
    """Paper: not given; reproduction: Adam."""
    beta1: float = 0.9
    """The optimiser's momentum. Adam's can be strange where the data keep changing."""
    batch_size: int = 32
    """Pairs a minibatch (paper: not given; reproduction: 32)."""
    pretrain_epochs: int = 200
    """Epochs on the initial labels (paper: 200)."""
    round_epochs: int = 20
    """Epochs of each later training round, over all labels in the ring."""
    ring: int = 3000
    """The last so many labels train (paper: 3,000)."""
    l2_initial: float = 1e-4
    """First coefficient of the L2 term on the weights."""
    l2_minimum: float = 1e-7
    """The coefficient never goes below this."""
    l2_maximum: float = 1e-2
    """The coefficient never goes above this."""
    l2_factor: float = 1.5
    """Factor by which a round moves the coefficient; 1 fixes it."""
    l2_low_ratio: float = 1.1
    """Validation loss under this multiple of the training loss: less L2 (paper: 1.1)."""
    l2_high_ratio: float = 1.5
    """Validation loss over this multiple of the training loss: more L2 (paper: 1.5)."""


@dataclass(frozen=True)
class LabelConfig:
    """Who is asked, how often, about which pairs."""

    budget: Annotated[int, arg(aliases=("--labels",))] = 200
    """Labels over the whole run, the initial ones included."""
    labeler: Annotated[Literal["oracle", "human"], arg(aliases=("--labeler",))] = "oracle"
    """Who answers. `oracle`: compares the clips' true rewards. `human`: people, in a browser."""
    instructions: Annotated[str, arg(aliases=("--instructions",))] = ""
    """What people are asked to look for. Default: a sentence made for the environment."""
    overlap: Annotated[int, arg(aliases=("--overlap",))] = 1
    """People who answer each pair; more than one shows how far they agree."""
    repeat_share: float = 0.05
    """Share of pairs that a person is given again, to measure how consistent they are."""
    ahead: int = 8
    """Pairs that are kept ready for people beyond those on their screens."""
    wait: bool = True
    """The policy pauses while more than a round of labels is overdue, or the last of them. Without,
    it goes on learning from the labels there are, and may be done before they are all given."""
    rationality: float | None = None
    """Beta: how surely the oracle prefers the larger return, after a Bradley-Terry model. None:
    always (Lee et al. 2021, section 3, as the next four)."""
    myopia: float = 1.0
    """Gamma: the oracle's weight of a step is this times that of the step after it."""
    mistake_probability: float = 0.0
    """Epsilon: probability that the oracle gives the opposite answer."""
    skip_threshold: float | None = None
    """The oracle cannot compare two clips whose sums of rewards are both below this."""
    equal_threshold: float = 0.0
    """To the oracle, sums of rewards that differ by less than this are equal."""
    initial_fraction: float = 0.25
    """Share of the budget asked before the policy learns (paper: 25% for physics)."""
    schedule: Literal["decay", "constant"] = "decay"
    """`decay`: rate proportional to H / (t + H). `constant`: the same rate throughout."""
    half_rate_fraction: float = 1.0
    """H as a share of all steps: there the rate is half of the first (paper: 5e6 of 5e7 steps
    for Atari, 2e6 steps for physics)."""
    schedule_end: float = 0.8
    """The whole budget is due after this share of all steps (paper: labels to the end): the last
    labels must still teach."""
    round_labels: int = 10
    """Labels a training round."""
    query_selection: Literal["random", "disagreement"] = "disagreement"
    """`disagreement`: where the predicted preference varies most over the members (paper)."""
    candidates: int = 10
    """Candidate pairs for each query that is asked (paper: 10)."""
    pool_size: int = 1000
    """Clips kept to make queries from, the newest; for people at most 300."""
    queue_size: int = 64
    """Pairs that can wait between policy and reward process (filmed ones: 8); more are dropped and
    counted."""


@dataclass(frozen=True)
class Config:
    """A training run."""

    env: EnvConfig = field(default_factory=EnvConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    predictor: RewardConfig = field(default_factory=RewardConfig)
    label: LabelConfig = field(default_factory=LabelConfig)
    seed: int = 0
    """Sets every random number of the run."""
    total_timesteps: int = 100_000
    """Environment steps (decisions, over all environments), random ones included."""
    reward: Literal["learned", "true"] = "learned"
    """`true`: the baseline, the same policy and settings on what the oracle compares: the true
    reward, clipped or with a penalty where the environment's settings say so."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the networks live. `auto`: a GPU, if there is one and observations are images."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number format of convolutions (not of keypoints), and of the policy's dense layer behind
    them. `auto`: bfloat16 where the processor computes it."""
    inline: bool = False
    """Both loops in lock step in one process: slower, and the same numbers every time."""
    evaluation_episodes: int = 20
    """Episodes that the finished policy is evaluated on."""
    video_every: int = 0
    """Steps between two checkpoints that are kept and filmed, beside the training. 0: none, but ten
    in a run where people label: they want to see what they teach."""

    @property
    def film_every(self) -> int:
        """Steps between two checkpoints that are filmed; 0: none are."""
        people = self.label.labeler == "human" and self.reward == "learned"
        return self.video_every or (math.ceil(self.total_timesteps / 10) if people else 0)

    @property
    def initial_labels(self) -> int:
        """L0, the labels of the first round: a share of the budget, but enough to hold some out."""
        share = round(self.label.initial_fraction * self.label.budget)
        return min(self.label.budget, max(share, LEAST_INITIAL_LABELS))

    def random_clips(self, labels_given: int) -> int:
        """Clips of the random policy from which the first queries are made.

        Args:
            labels_given: That the run begins with; each saves two.
        """
        return max(0, min(2 * self.initial_labels, self.label.pool_size) - 2 * labels_given)
