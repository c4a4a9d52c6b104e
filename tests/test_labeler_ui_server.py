import json
import socket
import subprocess
import sys
import urllib.request

import pytest
from labelled_run import TOKENS, make_run

from labeler_ui.server import ServerError, host_names, listen

SERVE = """
import sys
from pathlib import Path
from labeler_ui.server import serve
serve(Path(sys.argv[1]), lambda port: print(port, flush=True), activity=lambda: "training")
"""


def test_the_first_free_port_is_taken():
    with listen("127.0.0.1", None, False) as first, listen("127.0.0.1", None, False) as second:
        assert 5000 <= first.getsockname()[1] < second.getsockname()[1]


def test_a_fixed_port_that_is_taken_is_an_error():
    with listen("127.0.0.1", 0, False) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServerError, match=f"--port {port} on 127.0.0.1"):
            listen("127.0.0.1", port, False)


def test_an_address_that_others_reach_has_to_be_allowed():
    with pytest.raises(ServerError, match="--allow-remote"):
        listen("0.0.0.0", 0, False)
    with listen("0.0.0.0", 0, True) as listening:
        assert listening.getsockname()[0] == "0.0.0.0"


def test_an_address_that_is_none_is_an_error():
    with pytest.raises(ServerError, match="--host nowhere"):
        listen("nowhere.invalid", 0, True)


def test_host_names_are_those_of_the_address():
    assert host_names("127.0.0.1") == {"127.0.0.1", "localhost", "[::1]"}
    assert "192.0.2.7" in host_names("192.0.2.7")
    assert socket.gethostname().lower() in host_names("0.0.0.0")


def test_a_served_page_answers_and_loads_no_torch(tmp_path):
    run = make_run(tmp_path / "dot", size=(8, 8))
    run.store.close()
    code = SERVE.replace("print(port", "print(port, 'torch' in sys.modules")
    with subprocess.Popen(
        [sys.executable, "-c", code, str(run.path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        port, with_torch = process.stdout.readline().split()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/api/status",
            headers={"Cookie": f"prefrl_{port}={TOKENS['anna']}"},
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            status = json.load(response)
            assert "Server" not in response.headers
        process.terminate()
        process.communicate()
    assert with_torch == "False"
    assert (status["ready"], status["activity"]) == (6, "training")
