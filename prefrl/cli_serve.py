"""`prefrl serve`: the archive in a browser."""

import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from rich.console import Console
from tyro.conf import Positional, arg

from prefrl.arguments import PageOptions, parse


@dataclass(frozen=True)
class ServeOptions:
    """Show all runs in a folder in a browser: a list, a page for each, comparisons."""

    folder: Positional[Path] = Path("runs")
    """Where the runs are, folders in it included."""
    page: Annotated[PageOptions, arg(name="")] = field(default_factory=PageOptions)


def serve(args: list[str]) -> int:
    """`prefrl serve`; returns the exit code."""
    options = parse(ServeOptions, "serve", ServeOptions(), args)
    from labeler_ui.access import only
    from labeler_ui.archive.app import create_archive
    from labeler_ui.archive.catalogue import Catalogue
    from labeler_ui.server import Address, link, listen, serve_app, site_of, until_told
    from prefrl.label_page import OWNER, warn_of_listeners

    catalogue, token = Catalogue(options.folder), secrets.token_urlsafe(32)  # 256 bits
    runs, host = len(catalogue.rows()), options.page.host
    console = Console(highlight=False)
    with listen(Address(**vars(options.page))) as listening:
        title = options.folder.absolute().name
        site = site_of(listening, host)
        app = create_archive(catalogue, title, site, only(OWNER, token))
        console.print(f"{runs} runs: {link(host, site.port, token)}", soft_wrap=True, style="bold")
        warn_of_listeners(host, console)
        return until_told(lambda: serve_app(app, listening))
