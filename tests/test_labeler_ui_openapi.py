"""The description of the HTTP interface holds, whatever is sent."""

import copy
from pathlib import Path

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from labelled_run import TOKENS, make_run, write_metrics
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

import labeler_ui
from labeler_ui.app import create_app
from labeler_ui.pages import run_key
from labeler_ui.rates import Rate
from labeler_ui.settings import Settings

DESCRIPTION = yaml.safe_load((Path(labeler_ui.__file__).parent / "openapi.yaml").read_text())
CASES = 100  # for each of four bodies and one picture, unknowing and knowing: 1,000
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
HEADERS = {"Sec-Fetch-Site": "same-origin"}
COOKIES = {"prefrl_5000": TOKENS["anna"]}  # schemathesis sets them for this host alone:
HOST = "http://localhost:5000"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    made = make_run(tmp_path_factory.mktemp("runs") / "dot", size=(16, 16))
    write_metrics(made.directory, lines=3)
    yield made
    made.store.close()


@pytest.fixture(scope="module")
def app(run):
    return create_app(run.path, Settings(port=5000, rate=Rate(1e9, 1e9)))


def operations() -> list[tuple[str, str]]:
    return [(path, method) for path, item in DESCRIPTION["paths"].items() for method in item]


def description(run, knowing: bool) -> dict:
    """As it stands; or with ids that exist, so that cases get past the first refusal."""
    described = copy.deepcopy(DESCRIPTION)
    described.pop("security")
    page = f"{run_key(run.directory)}:anna"
    described["components"]["parameters"]["Page"]["schema"] = {"const": page}
    if knowing:
        queries = run.store.pending("nobody")
        ids = [query.id for query in queries[:3]] + [queries[0].left]
        uuids = [f"0000000{n}-0000-4000-8000-000000000000" for n in range(3)]
        described["components"]["schemas"]["Id"] = {"enum": ids}
        described["components"]["schemas"]["Uuid"] = {"enum": uuids}
    return described


@pytest.mark.parametrize("knowing", [False, True], ids=["unknowing", "knowing"])
@pytest.mark.parametrize(("path", "method"), operations())
def test_whatever_is_sent_is_answered_as_described(run, app, path, method, knowing):
    operation = schemathesis.openapi.from_dict(description(run, knowing))[path][method]
    modes = [GenerationMode.POSITIVE]
    if "requestBody" in DESCRIPTION["paths"][path][method]:
        modes.append(GenerationMode.NEGATIVE)

    answered: set[int] = set()

    @given(case=st.one_of([operation.as_strategy(mode) for mode in modes]))
    @settings(
        max_examples=CASES, deadline=None, database=None, derandomize=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    def check(case) -> None:
        response = case.call(app=app, base_url=HOST, headers=HEADERS, cookies=COOKIES)
        answered.add(response.status_code)
        case.validate_response(response, checks=CHECKS)

    check()
    assert answered - {401}, "nothing got past the door"


def test_every_route_is_described(app):
    described = {(path, method.upper()) for path, method in operations()}
    routed = {
        (rule.rule.replace("<clip_id>", "{clip}").replace("<int:number>", "{number}"), method)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule.startswith("/api/")
    }
    assert routed == described
