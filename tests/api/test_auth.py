"""Keys as they arrive in the header, and what each may do."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from litestar.datastructures import Headers

from api.auth import authorized, bearer_key
from api.problems import Forbidden, Unauthorized, problem_of
from lake.control import Control

KEY = "proj_abc123"


@pytest.mark.parametrize(
    "header",
    [
        f"Bearer {KEY}",
        f"bearer {KEY}",
        f"BEARER {KEY}",
        f"Bearer   {KEY}",
        f"  Bearer {KEY}  ",
        f"Bearer%20{KEY}",
        f"bearer%20{KEY}",
    ],
)
def test_a_key_is_found_whatever_the_case_and_the_spaces(header):
    assert bearer_key(header) == KEY


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Bearer%20", f"Basic {KEY}", KEY, f"Token {KEY}", f"Bearer:{KEY}"]
)
def test_another_scheme_is_no_key(header):
    assert bearer_key(header) is None


def test_only_an_encoded_space_makes_a_header_encoded():
    """A key of one's own may hold a percent sign."""
    assert bearer_key("Bearer proj_100%25certain") == "proj_100%25certain"
    assert bearer_key("Bearer%20proj_100%25certain") == "proj_100%certain"


@pytest.fixture
def control(tmp_path):
    with Control(tmp_path) as control:
        control.create_project("shop")
        yield control


def principal(control, header, scope):
    """Who a request with this header comes from."""
    headers = Headers({"authorization": header} if header is not None else {})
    request: Any = SimpleNamespace(headers=headers, scope={"state": {}})
    server: Any = SimpleNamespace(control=control)  # auth looks at nothing else of it
    return asyncio.run(authorized(request, server, scope))


@pytest.mark.parametrize(("kind", "environment"), [("ingest", "live"), ("live", "live"), ("test", "sandbox")])
def test_a_good_key_names_project_and_lake(control, kind, environment):
    secret = control.create_key("shop", kind).secret
    for _ in range(2):  # the second time it is remembered
        found = principal(control, f"Bearer {secret}", "ingest")
        assert (found.project, found.environment) == ("shop", environment)


def refusal(control, header, scope="ingest"):
    """What HTTP says about a key that is not taken."""
    with pytest.raises((Unauthorized, Forbidden)) as caught:
        principal(control, header, scope)
    return problem_of(caught.value)


def test_an_unknown_and_a_revoked_key_get_the_same_answer(control):
    revoked = control.create_key("shop", "live")
    assert principal(control, f"Bearer {revoked.secret}", "read")
    control.revoke_key(revoked.key.id)
    for key in (revoked.secret, "mtk_live_" + "0" * 76, "proj_x", "no key at all"):
        problem = refusal(control, f"Bearer {key}")
        assert (problem.status, problem.code, problem.message) == (401, "invalid_api_key", "Missing or invalid API key")


@pytest.mark.parametrize("header", [None, "", "Basic dXNlcg==", "Bearer"])
def test_a_missing_key_says_the_same_with_a_code_of_its_own(control, header):
    problem = refusal(control, header)
    assert (problem.status, problem.code, problem.message) == (401, "missing_api_key", "Missing or invalid API key")
    assert problem.headers == {"WWW-Authenticate": "Bearer"}


@pytest.mark.parametrize("scope", ["read", "sql", "alerts", "admin"])
def test_an_ingest_key_may_send_and_nothing_else(control, scope):
    secret = control.create_key("shop", "ingest").secret
    problem = refusal(control, f"Bearer {secret}", scope)
    assert (problem.status, problem.code) == (403, "permission_denied")
    assert scope in problem.message


@pytest.mark.parametrize("kind", ["live", "test"])
def test_the_other_kinds_may_all(control, kind):
    secret = control.create_key("shop", kind).secret
    for scope in ("ingest", "read", "sql", "alerts", "admin"):
        assert principal(control, f"Bearer {secret}", scope)
