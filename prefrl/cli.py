"""The command line. Help appears at once: torch and SQLAlchemy are imported where they are used."""

import json
import os
import select
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from tyro.conf import arg

from prefrl import __version__
from prefrl.arguments import PageOptions, RunPath, find_modules_here, parse
from prefrl.config import Config, ConfigError
from prefrl.config_file import from_dict, load_file, nearest, to_dict
from prefrl.limits import check

if TYPE_CHECKING:
    from labeler_ui.server import Address
    from prefrl.start import RunRequest

HELP = """\
usage: prefrl COMMAND ...

Deep reinforcement learning from human preferences.

commands:
  train ENV        train a policy from comparisons of clips
  evaluate RUN     true return, and how the predicted reward follows the true one
  replay RUN       a video of the policy, with what the learned reward thinks of it
  export RUN       the policy as a file for plain Stable-Baselines3
  label RUN        label pairs of clips in a browser, without training
  gather ENV       collect labels on clips of a random policy
  pretrain --labels-from RUN
                   fit a reward ensemble to labels that were collected
  compare RUN ...  what differs between runs, and their learning curves in one picture
  plot RUN         draw all pictures of a run
  reproduce RUN    start a run again from its record
  runs [DIR]       list runs; `runs show RUN` tells all of one, `runs prune RUN` makes room
  serve [DIR]      the same and more in a browser: all runs, a page for each, comparisons

ENV is a recipe or any registered Gymnasium id. Recipes:
{recipes}
`prefrl COMMAND --help` shows all settings of a command; `prefrl --version` the version.
"""


@dataclass(frozen=True)
class RunOptions:
    """Where a run goes and what it is for."""

    config: Annotated[Config, arg(name="")] = field(default_factory=Config)
    name: str | None = None
    """Of the run; by default made from task, seed and time."""
    run_dir: Annotated[Path | None, arg(metavar="DIR")] = None
    """The run's own directory, not there yet. Default: runs/NAME."""
    note: str = ""
    """The question that this run answers; kept with it."""
    config_file: Annotated[Path | None, arg(name="config", metavar="FILE")] = None
    """TOML or JSON with settings, such as another run's config.json; the command line wins."""
    print_config: bool = False
    """Print the resolved settings as JSON and stop."""


@dataclass(frozen=True)
class TaskOptions(RunOptions):
    """A run of a task that is named."""

    recipe: Literal["fast", "paper"] = "fast"
    """`paper`: the settings of Christiano et al. 2017, for Atari: 50 million steps. `fast`: this
    project's own."""


@dataclass(frozen=True)
class TrainOptions(TaskOptions):
    """Train a policy from comparisons of clips."""

    page: Annotated[PageOptions, arg(name="")] = field(default_factory=PageOptions)

    labels_from: Annotated[Path | None, arg(metavar="RUN")] = None
    """Start with the labels of that run; they count towards the budget."""
    reward_from: Annotated[Path | None, arg(metavar="RUN")] = None
    """Start with the fitted reward ensemble of that run."""


@dataclass(frozen=True)
class PretrainOptions(RunOptions):
    """Fit a reward ensemble to the labels of a run."""

    labels_from: Annotated[Path | None, arg(metavar="RUN")] = None
    """The run whose labels are used."""


@dataclass(frozen=True)
class LabelOptions:
    """Label pairs of clips of a run in a browser, without training; or invite somebody to."""

    run: RunPath
    """A run's directory."""
    page: Annotated[PageOptions, arg(name="")] = field(default_factory=PageOptions)
    invite: str = ""
    """Make a link for somebody of this name; an earlier link of theirs ends."""
    revoke: str = ""
    """End the link of somebody of this name."""
    instructions: str = ""
    """What people are asked to look for, instead of what the run says."""
    overlap: int | None = None
    """People who answer each pair, instead of what the run says."""


@dataclass(frozen=True)
class EvaluateOptions:
    """Play episodes with a trained policy."""

    run: RunPath
    """A finished run's directory."""
    checkpoint: str = "last"
    """`last`, `best` (by the true return), or the steps of a numbered one."""
    episodes: int | None = None
    """How many; by default as many as at the end of the run."""
    seed: int | None = None
    """Of the evaluation; by default the run's own evaluation seeds."""
    env_import: Annotated[tuple[str, ...], arg(metavar="MODULE ...")] = ()
    """Modules that the run may import; those it names are imported only if you name them too."""


AnyRunOptions = TypeVar("AnyRunOptions", bound=RunOptions)
AnyTaskOptions = TypeVar("AnyTaskOptions", bound=TaskOptions)


def main(argv: Sequence[str] | None = None) -> int:
    """The program; returns its exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        try:
            return _run(args)
        finally:
            if sys.stdout is not None:  # closed by whoever started us
                sys.stdout.flush()  # at the interpreter's exit it is too late to catch anything
    except BrokenPipeError:
        if not _nobody_reads():
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is left in it
        return 128 + signal.SIGPIPE
    except ValueError as error:  # ConfigError, RunError, StoreError: the user's to mend
        if type(error).__module__.split(".")[0] not in ("prefrl", "labeler_ui"):
            raise
        print(f"prefrl: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("prefrl: stopped", file=sys.stderr)
        return 128 + signal.SIGINT


def _run(args: list[str]) -> int:
    commands: dict[str, Callable[[list[str]], int]] = {
        "train": _train,
        "label": _label,
        "evaluate": _evaluate,
        "replay": _replay,
        "export": _export,
        "gather": _gather,
        "pretrain": _pretrain,
        "runs": _runs,
        "serve": _serve,
        "compare": _compare,
        "reproduce": _reproduce,
        "plot": _plot,
    }
    if not args or args[0] in ("-h", "--help", "help"):
        print(_help(), end="")
        return 0
    if args[0] == "--version":
        print(f"prefrl {__version__}")
        return 0
    if args[0] not in commands:
        raise ConfigError(f"unknown command {args[0]!r}{nearest(args[0], commands)}")
    return commands[args[0]](args[1:])


def _nobody_reads() -> bool:
    """Whether standard output is a pipe whose reader, such as `head`, has seen enough."""
    output = select.poll()
    output.register(sys.stdout.fileno(), 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in output.poll(0))


def _train(args: list[str]) -> int:
    options = _run_options(TrainOptions, "train", args)
    if options is None:
        return 0
    from prefrl.start import train

    return train(
        options.config, _named(options), options.labels_from, options.reward_from,
        _address(options.page),
    )  # fmt: skip


def _label(args: list[str]) -> int:
    options = parse(LabelOptions, "label", None, args)
    if options.overlap is not None and options.overlap < 1:
        raise ConfigError(f"--overlap: expected at least 1, got {options.overlap}")
    if options.invite and options.revoke:
        raise ConfigError("--invite and --revoke: one at a time")
    from prefrl.label_page import revoke, serve_page

    if options.revoke:
        return revoke(options.run, options.revoke)
    address = _address(options.page)
    return serve_page(options.run, address, options.invite, options.instructions, options.overlap)


def _address(page: PageOptions) -> "Address":
    from labeler_ui.server import Address

    return Address(**vars(page))


def _gather(args: list[str]) -> int:
    options = _run_options(TaskOptions, "gather", args)
    if options is None:
        return 0
    from prefrl.start import gather

    return gather(options.config, _named(options))


def _pretrain(args: list[str]) -> int:
    first = parse(PretrainOptions, "pretrain", PretrainOptions(), args)
    if first.labels_from is None:
        raise ConfigError("pretrain: say whose labels, with --labels-from RUN")
    from prefrl.runs.foreign import config_of, open_run
    from prefrl.start import pretrain

    source, trusted = open_run(first.labels_from), first.config.env.import_modules
    find_modules_here(trusted)
    options = _with_file(PretrainOptions, "pretrain", config_of(source, trusted), first, args)
    if options.print_config:
        _print_config(options.config)
        return 0
    return pretrain(options.config, _named(options), source)


def _evaluate(args: list[str]) -> int:
    options = parse(EvaluateOptions, "evaluate", None, args)
    if options.episodes is not None and options.episodes < 1:
        raise ConfigError(f"--episodes: expected at least 1, got {options.episodes}")
    if options.seed is not None and not 0 <= options.seed < 2**31:
        raise ConfigError(f"--seed: expected 0 to {2**31 - 1}, got {options.seed}")
    find_modules_here(options.env_import)
    from prefrl.start import evaluate

    return evaluate(
        options.run, options.checkpoint, options.episodes, options.seed, options.env_import
    )


def _replay(args: list[str]) -> int:
    from prefrl.cli_replay import replay

    return replay(args)


def _export(args: list[str]) -> int:
    from prefrl.cli_replay import export

    return export(args)


def _runs(args: list[str]) -> int:
    from prefrl.cli_runs import runs

    return runs(args)


def _serve(args: list[str]) -> int:
    from prefrl.cli_serve import serve

    return serve(args)


def _compare(args: list[str]) -> int:
    from prefrl.cli_compare import compare

    return compare(args)


def _plot(args: list[str]) -> int:
    from prefrl.cli_compare import plot

    return plot(args)


def _reproduce(args: list[str]) -> int:
    from prefrl.cli_reproduce import reproduce

    return reproduce(args)


def _named(options: RunOptions) -> "RunRequest":
    from prefrl.start import RunRequest

    return RunRequest(options.name, options.run_dir, options.note)


def _run_options(
    kind: type[AnyTaskOptions], command: str, args: list[str]
) -> AnyTaskOptions | None:
    """Options of a command whose first argument names the task; None if there is nothing to run."""
    if args and args[0] in ("-h", "--help"):
        parse(kind, f"{command} ENV", kind(), args)
    if not args or args[0].startswith("-"):
        raise ConfigError(f"{command}: say which environment, as in `prefrl {command} pendulum`")
    from prefrl.recipes import RECIPES, for_algo, for_unknown, refuse_unusable, settings_of

    env, args = args[0], args[1:]
    # The recipe, then the file, give what the command line is read over. What fits a task that no
    # recipe knows hangs on its shapes, and these on the command line: so it is read again at last.
    known = settings_of(env, "fast")
    first = parse(kind, f"{command} {env}", kind(config=known), args)
    if first.recipe == "paper":
        known = settings_of(env, "paper")
        first = parse(kind, f"{command} {env}", kind(config=known), args)
    if first.config_file is not None:
        from_file = from_dict(known, load_file(first.config_file))
        first = parse(kind, f"{command} {env}", kind(config=from_file), args)
        if first.config.env.id != known.env.id:
            raise ConfigError(f"--config is for {first.config.env.id}, not for {known.env.id}")
    find_modules_here((*first.config.env.import_modules, *([env] if ":" in env else [])))
    base = known
    if env not in RECIPES:
        from prefrl.policy.environment import decision_seconds, task_spaces

        spaces = task_spaces(first.config.env)
        base = for_unknown(first.config.env, spaces, decision_seconds(first.config.env))
        for name in [name for name, known in RECIPES.items() if known.config.env.id == env]:
            print(f"prefrl: `{command} {name}` has settings that fit this task", file=sys.stderr)
    base = for_algo(base, first.config.policy.algo)
    options = _with_file(kind, f"{command} {env}", base, first, args)
    from prefrl.policy.environment import task_spaces

    refuse_unusable(options.config, base, task_spaces(options.config.env))
    if options.print_config:
        _print_config(options.config)
        return None
    return options


def _with_file(
    kind: type[AnyRunOptions], command: str, base: Config, first: RunOptions, args: list[str]
) -> AnyRunOptions:
    """The options again, over the settings of recipe and file."""
    if first.config_file is not None:
        base = from_dict(base, load_file(first.config_file))
    options = parse(kind, command, kind(config=base), args)
    check(options.config)
    return options


def _print_config(config: Config) -> None:
    print(json.dumps(to_dict(config), indent=2))


def _help() -> str:
    from prefrl.recipes import RECIPES

    width = max(map(len, RECIPES))
    lines = [
        f"  {name:{width}}  {recipe.task}; {recipe.status}" for name, recipe in RECIPES.items()
    ]
    return HELP.format(recipes="\n".join(lines))
