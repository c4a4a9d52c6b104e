"""The page as a process of its own: a port is found, waitress serves."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import waitress

from labeler_ui.app import create_app
from labeler_ui.settings import LOCAL_NAMES, Settings

FIRST_PORT = 5000
PORTS_TRIED = 100
THREADS = 8


class ServerError(ValueError):
    """The page cannot be served there: one line that says why and what to do."""


def serve(
    run: Path,
    announce: Callable[[int], None],
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    allow_remote: bool = False,
    **settings: Any,
) -> None:
    """Serve a run's page until the process is stopped.

    Args:
        run: The run's folder.
        announce: Called with the port once it is taken; from then on requests are answered.
        host: The address to listen on.
        port: The port, or None for the first free one from 5000.
        allow_remote: Whether the address may be one that other machines reach.
        **settings: Of `Settings`, but its port and host names.

    Raises:
        ServerError: The address is not allowed or the port is taken.
        RunError, ConfigError, StoreError: See `create_app`.
    """
    with listen(host, port, allow_remote) as listening:
        taken: int = listening.getsockname()[1]
        names = host_names(host)
        app = create_app(run, Settings(port=taken, host_names=names, **settings))
        server = waitress.create_server(app, sockets=[listening], threads=THREADS, ident=None)
        announce(taken)
        server.run()


def listen(host: str, port: int | None, allow_remote: bool) -> socket.socket:
    """A listening socket.

    Raises:
        ServerError: The address is not allowed or cannot be had, or the port is taken.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise ServerError(f"--host {host}: {error.strerror}") from error
    if not allow_remote and not _is_local(str(address[0])):
        raise ServerError(
            f"--host {host}: others could reach the page over an unencrypted connection; "
            "if that is wanted, add --allow-remote"
        )
    ports = range(FIRST_PORT, FIRST_PORT + PORTS_TRIED) if port is None else [port]
    for candidate in ports:
        try:
            return socket.create_server((host, candidate), family=family, backlog=128)
        except OSError as error:
            reason = error.strerror
    wanted = f"--port {port}" if port is not None else f"ports {ports[0]} to {ports[-1]}"
    raise ServerError(f"{wanted} on {host}: {reason}")


def _is_local(address: str) -> bool:
    return address == "::1" or address.startswith("127.")


def host_names(host: str) -> frozenset[str]:
    """What the Host header of an honest request can say when we listen on this address."""
    named = {f"[{host}]" if ":" in host else host.lower()}
    if host in {"0.0.0.0", "::", ""}:
        named = {socket.gethostname().lower(), socket.getfqdn().lower()}
        for addresses in psutil.net_if_addrs().values():
            for address in addresses:
                if address.family == socket.AF_INET:
                    named.add(address.address)
                elif address.family == socket.AF_INET6:
                    named.add(f"[{address.address.partition('%')[0]}]")
    return LOCAL_NAMES | named
