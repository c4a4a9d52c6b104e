"""Pages that are served to the owner of the runs: whoever has the link that is printed."""

import secrets
from collections.abc import Callable

from flask import Flask
from rich.console import Console

from labeler_ui.access import NameBehind, only
from labeler_ui.server import (
    Address,
    is_remote,
    link,
    listen,
    serve_app,
    site_of,
    until_told,
)
from labeler_ui.settings import Site
from prefrl.console import ReportConsole

OWNER = "owner"  # who started the run or the page, as a labeler too


def serve_to_owner(
    address: Address, what: str, make_app: Callable[[Site, NameBehind], Flask]
) -> int:
    """Print the link and serve until told to stop.

    Args:
        address: Where to listen.
        what: Is printed before the link.
        make_app: Makes the pages.

    Returns:
        The exit code.

    Raises:
        ServerError: It cannot be served there.
    """
    console, token = ReportConsole(), secrets.token_urlsafe(32)  # 256 bits
    with listen(address) as listening:
        site = site_of(listening, address.host)
        app = make_app(site, only(OWNER, token))
        shown = link(address.host, site.port, token)
        console.print(f"{what}: {shown}", soft_wrap=True, style="bold", markup=False)
        warn_of_listeners(address.host, console)
        return until_told(lambda: serve_app(app, listening))


def warn_of_listeners(host: str, console: Console) -> None:
    """Say who else can read a page that is served on this address."""
    if is_remote(host):
        console.print(
            "warning: whoever can read the traffic of this network can read the page's too, and "
            "the links: use it only where you trust everybody",
            style="yellow", soft_wrap=True,
        )  # fmt: skip
