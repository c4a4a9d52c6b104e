"""A run's label page, as its owner sees it: opened with the run or on its own; people invited."""

import secrets
import socket
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console

from labeler_ui.server import Address, link, listen, serve, until_told
from prefrl.assignment import PageAssignment
from prefrl.config import ConfigError, LabelConfig
from prefrl.config_file import load_config
from prefrl.console import ReportConsole
from prefrl.labels.desk import LabelDesk
from prefrl.labels.schema import UnknownId
from prefrl.labels.store import LabelStore
from prefrl.owner_pages import OWNER, warn_of_listeners
from prefrl.run_directory import RunDirectory, read_object
from prefrl.run_status import is_alive

LONGEST_NAME = 40


def open_page(
    run: RunDirectory, label: LabelConfig, listening: socket.socket, host: str, console: Console
) -> PageAssignment:
    """What the process of a run's page has to know; the links to it are printed.

    Args:
        run: With a label store.
        label: How people are asked.
        listening: Where.
        host: As it was asked for.
        console: For the links.
    """
    print_link(run, OWNER, listening, host, console)
    warn_of_listeners(host, console)
    settings = {
        "instructions": label.instructions,
        "overlap": label.overlap,
        "repeat_share": label.repeat_share,
    }
    return PageAssignment(run.path, listening, host, settings)


def print_link(
    run: RunDirectory, name: str, listening: socket.socket, host: str, console: Console
) -> None:
    """Invite somebody, whose earlier link ends."""
    port: int = listening.getsockname()[1]
    _print_invitation(run, name, host, port, console)


def serve_page(
    path: Path, address: Address, invite: str, instructions: str, overlap: int | None
) -> int:
    """Serve the page of a run until told to stop, or invite somebody to one that is served.

    Args:
        path: The run.
        address: Where to listen.
        invite: Whom to make a link for, beside the owner; may be empty.
        instructions: Instead of the run's own, unless empty.
        overlap: Instead of the run's own, unless None.

    Returns:
        The exit code.

    Raises:
        RunError, ConfigError, StoreError, ServerError: It cannot be served.
    """
    run, console = RunDirectory.open(path), ReportConsole()
    label = load_config(run.config).label
    _check_name(invite)
    served = read_object(run.page)
    if is_alive(served):
        if not invite:
            raise ConfigError(
                f"the page of {path} is served already, on port {served['port']}: open the link "
                "that was printed there, or make one for somebody with --invite NAME"
            )
        _refuse_changes(path, address, instructions, overlap)
        _print_invitation(run, invite, served["host"], served["port"], console)
        return 0
    if waiting := pairs_waiting(run):
        console.print(f"{waiting} pairs of clips wait for an answer")
    else:
        console.print(_how_to_get_pairs(run), soft_wrap=True, markup=False)
    label = replace(
        label,
        instructions=instructions or label.instructions,
        overlap=label.overlap if overlap is None else overlap,
    )
    with listen(address, served.get("port")) as listening:
        page = open_page(run, label, listening, address.host, console)
        if invite:
            print_link(run, invite, listening, address.host, console)
        return until_told(lambda: serve(page.run_path, page.listening, page.host, **page.settings))


def pairs_waiting(run: RunDirectory) -> int:
    """How many pairs of clips people can answer."""
    with LabelStore.open(run.labels) as store:
        return LabelDesk(store, np.random.default_rng(0)).unanswered()


def _how_to_get_pairs(run: RunDirectory) -> str:
    """What to do where no pair waits.

    Raises:
        ConfigError: An oracle answered, who needs no pictures, and the run has ended.
    """
    none, view = "0 pairs of clips wait for an answer", f"`prefrl replay {run.path} --view`"
    with LabelStore.open(run.labels) as store:
        has_pictures = bool(store.clip_ids(shown=True))
    if has_pictures:
        return f"{none}: {view} puts more into the queue"
    if load_config(run.config).label.labeler == "human":
        return f"{none}: the run has made none yet"
    raise ConfigError(
        f"{run.path}: {none}, and its clips have no pictures; {view} makes a pair of two stretches "
        "that you queue there, `prefrl gather ENV --labeler human` many"
    )


def _refuse_changes(path: Path, address: Address, instructions: str, overlap: int | None) -> None:
    """A page that is served already stays as it is."""
    changed = {
        "--host": address.host != Address.host,
        "--port": address.port is not None,
        "--allow-remote": address.allow_remote,
        "--instructions": bool(instructions),
        "--overlap": overlap is not None,
    }
    if any(changed.values()):
        named = ", ".join(name for name, is_given in changed.items() if is_given)
        raise ConfigError(f"{named}: the page of {path} is served already, and stays as it is")


def revoke(path: Path, name: str) -> int:
    """End somebody's invitation. Returns the exit code.

    Raises:
        RunError, StoreError: There is no such run, or it has no label store that can be used.
        ConfigError: Nobody of this name is invited.
    """
    with LabelStore.open(RunDirectory.open(path).labels) as store:
        try:
            LabelDesk(store, np.random.default_rng(0)).revoke_invitation(name)
        except UnknownId as error:
            raise ConfigError(f"--revoke: {error} to {path}") from error
    print(f"{name} can no longer label {path}")
    return 0


def _print_invitation(run: RunDirectory, name: str, host: str, port: int, console: Console) -> None:
    token = secrets.token_urlsafe(32)  # 256 bits
    with LabelStore.open(run.labels) as store:
        LabelDesk(store, np.random.default_rng(0)).add_invitation(name, token)
    whose = "label here" if name == OWNER else f"link for {name}"
    console.print(f"{whose}: {link(host, port, token)}", soft_wrap=True, style="bold")


def _check_name(name: str) -> None:
    if len(name) > LONGEST_NAME or (name and not name.isprintable()) or name != name.strip():
        raise ConfigError(f"--invite: expected a name of up to {LONGEST_NAME} characters")
    if name in {OWNER, "oracle"}:
        raise ConfigError(f"--invite: {name!r} is somebody already")
