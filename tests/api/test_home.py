"""The page at `/` and the description of the API: for people and tools, without a network."""

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
