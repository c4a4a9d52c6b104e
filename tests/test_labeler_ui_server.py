import json
import socket
import subprocess
import sys
import urllib.request
from contextlib import ExitStack

import pytest
from labelled_run import TOKENS, make_run

from labeler_ui.server import Address, ServerError, host_names, link, listen
from prefrl.run_status import StatusFile

SERVE = """
import sys
from pathlib import Path
from labeler_ui.server import Address, listen, serve
with listen(Address(port=0)) as listening:
    print(listening.getsockname()[1], "torch" in sys.modules, flush=True)
    serve(Path(sys.argv[1]), listening, "127.0.0.1")
"""


def test_the_first_free_port_is_taken():
    with listen(Address()) as first, listen(Address()) as second:
        assert 5000 <= first.getsockname()[1] < second.getsockname()[1]


def test_the_last_port_is_taken_again_if_it_is_free_and_none_is_asked_for():
    with listen(Address(port=0)) as before:
        last = before.getsockname()[1]
        with listen(Address(), last) as other:
            assert other.getsockname()[1] != last
    with listen(Address(), last) as again:
        assert again.getsockname()[1] == last
        with listen(Address(port=0), last) as asked:
            assert asked.getsockname()[1] != last


def test_a_fixed_port_that_is_taken_is_an_error():
    with listen(Address(port=0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServerError, match=f"--port {port} on 127.0.0.1"):
            listen(Address(port=port))


def test_a_port_that_cannot_be_is_an_error():
    with pytest.raises(ServerError, match="--port 70000: expected 1 to 65535"):
        listen(Address(port=70000))


def test_an_address_that_others_reach_has_to_be_allowed():
    with pytest.raises(ServerError, match="--allow-remote"):
        listen(Address("0.0.0.0", 0))
    with listen(Address("0.0.0.0", 0, allow_remote=True)) as listening:
        assert listening.getsockname()[0] == "0.0.0.0"


def test_an_address_that_is_none_is_an_error():
    with pytest.raises(ServerError, match="--host nowhere"):
        listen(Address("nowhere.invalid", 0, allow_remote=True))


def test_a_link_names_a_host_that_a_browser_can_find():
    assert link("127.0.0.1", 5000, "abc") == "http://127.0.0.1:5000/?token=abc"
    assert link("::1", 5000, "abc") == "http://[::1]:5000/?token=abc"
    assert link("0.0.0.0", 5000, "abc") == f"http://{socket.gethostname()}:5000/?token=abc"


def test_host_names_are_those_of_the_address():
    assert host_names("127.0.0.1") == {"127.0.0.1", "localhost", "[::1]"}
    assert "192.0.2.7" in host_names("192.0.2.7")
    assert socket.gethostname().lower() in host_names("0.0.0.0")


@pytest.fixture
def served(tmp_path):
    """The port of a served page, and whether its process had loaded torch."""
    run = make_run(tmp_path / "dot", size=(8, 8))
    run.store.close()
    StatusFile(run.directory).update({"policy": "learning"})
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, str(run.path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        port, with_torch = process.stdout.readline().split()
        yield int(port), with_torch
        process.terminate()
        process.communicate()


def ask_status(port):
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/status",
        headers={"Cookie": f"prefrl_{port}={TOKENS['anna']}"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        assert "Server" not in response.headers
        return json.load(response)


def test_a_served_page_answers_and_loads_no_torch(served):
    port, with_torch = served
    status = ask_status(port)
    assert with_torch == "False"
    assert (status["ready"], status["activity"]) == (6, "training")


def test_a_hundred_and_fifty_connections_do_not_shut_others_out(served):
    port, _ = served
    with ExitStack() as stack:
        for _ in range(150):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        assert ask_status(port)["ready"] == 6


def test_a_large_body_is_refused_before_it_was_sent(served):
    port, _ = served
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        head = f"POST /api/leases HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 10000000"
        connection.sendall(head.encode() + b"\r\n\r\n{")
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


TOLD_EARLY = """
import os, signal, sys
from labeler_ui.server import until_told
sys.exit(until_told(lambda: os.kill(os.getpid(), signal.SIGTERM)))
"""


def test_whoever_is_told_to_stop_before_it_serves_says_so_too():
    assert subprocess.run([sys.executable, "-c", TOLD_EARLY], check=False).returncode == 143
