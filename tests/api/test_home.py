"""The page at `/` and the description of the API: for people and tools, without a network."""

import re
from html.parser import HTMLParser

import pytest

from tests.api.clients import Client
from tests.servers import running


class Page(HTMLParser):
    """The links of a page and what it would load."""

    def __init__(self, text):
        super().__init__()
        self.links, self.loads = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if tag == "a":
            self.links.append(values["href"])
        elif tag in ("script", "link", "img", "iframe") or "src" in values:
            self.loads.append(tag)


@pytest.mark.parametrize("path", ["/", "/schema"])
def test_a_page_loads_nothing_and_may_not(anonymous, path):
    answer = anonymous.get(path)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert Page(answer.text).loads == []
    assert "url(" not in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert answer.headers["x-frame-options"] == "DENY"


def test_every_link_of_the_first_page_leads_somewhere(anonymous):
    links = Page(anonymous.get("/").text).links
    assert "/schema" in links
    for link in links:
        assert anonymous.get(link).status_code == 200, link


def test_the_first_page_tells_the_address_that_it_was_asked_at(anonymous, server):
    assert f"http://127.0.0.1:{server.port}/ingest" in anonymous.get("/").text
    assert "http://lake.example:80/ingest" in anonymous.get("/", headers={"Host": "lake.example:80"}).text


def test_the_first_page_repeats_nothing_that_a_browser_would_run(anonymous):
    answer = anonymous.get("/", headers={"Host": 'lake.example"><script>alert(1)</script>'})
    assert "<script>" not in answer.text
    assert answer.status_code < 500


def test_a_head_of_the_first_page_has_its_length_and_no_body(anonymous):
    head, whole = anonymous.head("/"), anonymous.get("/")
    assert (head.status_code, head.text) == (200, "")
    assert head.headers["content-length"] == whole.headers["content-length"]


def test_the_first_page_links_the_notebooks_if_there_are_any(anonymous, tmp_path):
    assert "JupyterLab" not in anonymous.get("/").text
    settings = {"TRACELAKE_LAB_URL": "http://127.0.0.1:8888/lab?a=1&b=2"}
    with running(tmp_path / "data", workers=1, settings=settings) as server, Client(server.url) as client:
        assert "http://127.0.0.1:8888/lab?a=1&b=2" in Page(client.get("/").text).links


ROUTES = {
    "/health": {"get", "head", "post"},
    "/ingest/v1/traces": {"post"},
    "/ingest/errors": {"post"},
    "/ingest/errors/batch": {"post"},
    "/ingest/deploys": {"post"},
    "/ingest/requests": {"post"},
    "/v1/traces": {"get", "head", "post"},
    "/v1/traces/{trace_id}": {"get", "head"},
}


def test_the_description_lists_every_route(anonymous):
    described = anonymous.get("/schema/openapi.json").json()
    assert described["openapi"].startswith("3.")
    methods = {"get", "head", "post", "put", "patch", "delete"}
    assert {path: methods & set(item) for path, item in described["paths"].items()} == ROUTES


def test_every_operation_has_a_name_of_its_own_a_summary_and_its_answers(anonymous):
    described = anonymous.get("/schema/openapi.json").json()
    operations = [operation for item in described["paths"].values() for operation in item.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for operation in operations:
        assert operation["summary"]
        assert "200" in operation["responses"]
        assert "422" not in operation["responses"]


def test_the_parameters_of_the_list_are_described_with_their_limits(anonymous):
    described = anonymous.get("/schema/openapi.json").json()["paths"]["/v1/traces"]["get"]["parameters"]
    by_name = {parameter["name"]: parameter["schema"] for parameter in described}
    assert set(by_name) == {"service", "start_time", "end_time", "min_duration_ms", "status", "limit", "cursor"}
    assert by_name["limit"] == {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}
    assert by_name["status"]["enum"] == ["ok", "error", "unset"]


def test_the_page_of_the_description_shows_every_route(anonymous):
    page = anonymous.get("/schema").text
    shown = set(re.findall(r"<h2><code>(GET|POST) ([^<]+)</code></h2>", page))
    assert shown == {(method.upper(), path) for path, methods in ROUTES.items() for method in methods - {"head"}}
