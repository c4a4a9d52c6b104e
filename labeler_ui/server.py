"""Pages on the network: a port is found, waitress serves."""

import logging
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import psutil
import waitress
from flask import Flask

from labeler_ui.app import create_app
from labeler_ui.bodies import MOST_BYTES
from labeler_ui.settings import LOCAL_NAMES, Settings, Site
from prefrl.run_directory import RunDirectory, write_json
from prefrl.run_status import this_process

FIRST_PORT = 5000
PORTS_TRIED = 100
THREADS = 8
EVERY_ADDRESS = frozenset({"0.0.0.0", "::", ""})


class ServerError(ValueError):
    """The page cannot be served there: one line that says why and what to do."""


@dataclass(frozen=True)
class Address:
    """Where a page is wanted.

    Attributes:
        host: The address to listen on.
        port: The port, or None for the first free one from 5000.
        allow_remote: Whether the address may be one that other machines reach.
    """

    host: str = "127.0.0.1"
    port: int | None = None
    allow_remote: bool = False


def listen(address: Address, last_port: int | None = None) -> socket.socket:
    """A listening socket. Whoever holds it keeps the port, though the server may come and go.

    Args:
        address: Where the page is wanted.
        last_port: Where it was before, tried first if no port is asked for: what browsers keep of
            a page, unsent answers too, stays with its port.

    Raises:
        ServerError: The address is not allowed or cannot be had, or the port is taken.
    """
    host, port = address.host, address.port
    if port is not None and not 0 <= port < 2**16:
        raise ServerError(f"--port {port}: expected 1 to {2**16 - 1}")
    try:
        family, *_, found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise ServerError(f"--host {host}: {error.strerror}") from error
    if not address.allow_remote and not _is_local(str(found[0])):
        raise ServerError(
            f"--host {host}: others could reach the page over an unencrypted connection; "
            "if that is wanted, add --allow-remote"
        )
    ports = range(FIRST_PORT, FIRST_PORT + PORTS_TRIED) if port is None else [port]
    for candidate in [last_port, *ports] if last_port and port is None else ports:
        try:
            return socket.create_server((host, candidate), family=family, backlog=128)
        except OSError as error:
            reason = error.strerror
    wanted = f"--port {port}" if port is not None else f"ports {ports[0]} to {ports[-1]}"
    raise ServerError(f"{wanted} on {host}: {reason}")


def is_remote(host: str) -> bool:
    """Whether other machines reach a page on this address."""
    return not _is_local(str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0]))


def link(host: str, port: int, token: str) -> str:
    """What to open in a browser; for every address of this machine, by the machine's name."""
    name = socket.gethostname() if host in EVERY_ADDRESS else host
    return f"http://{f'[{name}]' if ':' in name else name}:{port}/?token={token}"


def serve(run: Path, listening: socket.socket, host: str, **settings: Any) -> None:
    """Serve a run's label page until the process is stopped.

    Args:
        run: The run's folder.
        listening: Where; see `listen`.
        host: As it was asked for.
        **settings: Of `Settings`, but its port and host names.

    Raises:
        RunError, ConfigError, StoreError: See `create_app`.
    """
    port: int = listening.getsockname()[1]
    app = create_app(run, Settings(port, host_names(host), **settings))
    write_json(RunDirectory(run).page, {**this_process(), "host": host, "port": port})
    serve_app(app, listening)


def site_of(listening: socket.socket, host: str) -> Site:
    """Where pages are served by a socket that was asked for with this host."""
    return Site(listening.getsockname()[1], host_names(host))


def serve_app(app: Flask, listening: socket.socket) -> None:
    """Serve an application until the process is stopped."""
    # Its warnings of a queue of one request or two would fill the run's terminal.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    waitress.create_server(
        app, sockets=[listening], threads=THREADS, ident=None,
        max_request_body_size=MOST_BYTES + 1,  # refused without being read, if it is as large
        connection_limit=1000, asyncore_use_poll=True,  # select() ends at 1,024 open files
    ).run()  # fmt: skip


def until_told(serve: Callable[[], None]) -> int:
    """Call what serves; Ctrl-C and SIGTERM end it, even in the middle of an answer.

    Returns:
        The exit code.
    """
    told: list[int] = []

    def end(number: int, _: FrameType | None) -> None:
        told.append(number)
        # Makes the server return, if it serves by now; or is the exit code itself.
        raise SystemExit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    serve()
    return 128 + told[0] if told else 0


def _is_local(address: str) -> bool:
    return address == "::1" or address.startswith("127.")


def host_names(host: str) -> frozenset[str]:
    """What the Host header of an honest request can say when we listen on this address."""
    named = {f"[{host}]" if ":" in host else host.lower()}
    if host in EVERY_ADDRESS:
        named = {socket.gethostname().lower(), socket.getfqdn().lower()}
        for addresses in psutil.net_if_addrs().values():
            for address in addresses:
                if address.family == socket.AF_INET:
                    named.add(address.address)
                elif address.family == socket.AF_INET6:
                    named.add(f"[{address.address.partition('%')[0]}]")
    return LOCAL_NAMES | named
