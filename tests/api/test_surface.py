"""What is not there: removed versions, unknown paths, other methods, other origins."""

import pytest

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


@pytest.mark.parametrize("path", ["/v2", "/v2/", "/v2/traces", "/v2/traces/abc/spans"])
@pytest.mark.parametrize("method", METHODS)
def test_v2_is_gone_and_says_where_to_go(anonymous, path, method):
    answer = anonymous.request(method, path)
    assert answer.status_code == 404
    if method != "HEAD":
        error = answer.json()["error"]
        assert error["code"] == "not_found"
        assert "/v1" in error["message"]
        assert "Migrating from v2" in error["message"]


@pytest.mark.parametrize("method", METHODS)
def test_an_unknown_path_has_the_shape_of_every_error(anonymous, method):
    answer = anonymous.request(method, "/v1/nothing")
    assert answer.status_code == 404
    if method != "HEAD":
        assert answer.json() == {
            "error": {
                "code": "not_found",
                "message": "Not Found",
                "request_id": answer.headers["x-request-id"],
            }
        }


@pytest.mark.parametrize(("method", "path"), [("PUT", "/v1/traces"), ("DELETE", "/v1/keys"), ("PATCH", "/v1/keys/current")])
def test_another_method_is_refused_with_those_there_are(project, method, path):
    answer = project.live.request(method, path)
    assert answer.status_code == 405
    assert answer.json()["error"]["code"] == "method_not_allowed"
    assert "GET" in answer.headers["allow"]


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/v1/traces", {"GET", "HEAD", "POST"}),
        ("/v1/keys/mtk_live_000000000000", {"GET", "HEAD", "PATCH", "DELETE"}),
        ("/v1/keys/current", {"GET", "HEAD"}),
        ("/ingest/errors", {"POST"}),
        ("/health", {"GET", "HEAD", "POST"}),
    ],
)
def test_options_names_every_method_of_a_path(anonymous, path, methods):
    answer = anonymous.options(path)
    assert answer.status_code == 204
    assert set(answer.headers["allow"].split(", ")) == methods | {"OPTIONS"}


@pytest.mark.parametrize("path", ["/v1/traces", "/ingest/errors", "/health", "/schema/openapi.json"])
def test_no_page_of_another_origin_may_read_an_answer(project, path):
    origin = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "GET"}
    for answer in (project.live.get(path, headers=origin), project.live.options(path, headers=origin)):
        assert not [name for name in answer.headers if name.startswith("access-control")]
