"""`prefrl serve`: the archive in a browser."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from prefrl.arguments import FolderPath, PageOptions, parse


@dataclass(frozen=True)
class ServeOptions:
    """Show all runs in a folder in a browser: a list, a page for each, comparisons."""

    folder: FolderPath = Path("runs")
    """Where the runs are, folders in it included."""
    page: Annotated[PageOptions, arg(name="")] = field(default_factory=PageOptions)


def serve(args: list[str]) -> int:
    """`prefrl serve`; returns the exit code."""
    options = parse(ServeOptions, "serve", ServeOptions(), args)
    from labeler_ui.archive.app import create_archive
    from labeler_ui.archive.catalogue import Catalogue
    from labeler_ui.server import Address
    from prefrl.owner_pages import serve_to_owner

    catalogue = Catalogue(options.folder)
    runs = len(catalogue.rows())  # all are read before the first visitor has to wait for them
    return serve_to_owner(
        Address(**vars(options.page)), f"{runs} runs",
        lambda site, name_behind: create_archive(
            catalogue, options.folder.absolute().name, site, name_behind
        ),
    )  # fmt: skip
