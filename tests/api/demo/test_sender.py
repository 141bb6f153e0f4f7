"""The sender against a server that says what the test wants."""

import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from api.demo.sender import DEPLOYS_PATH, Sender
from api.demo.state import DemoError
from tests.servers import free_port


@pytest.fixture
def answers():
    """The answers to come: status and headers."""
    return deque()


@pytest.fixture
def requests():
    """The requests that came: headers and body."""
    return []


@pytest.fixture
def url(answers, requests):
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            requests.append((self.headers, self.rfile.read(int(self.headers["Content-Length"]))))
            status, headers = answers.popleft()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"no")

        def log_message(self, *_):
            """Nothing: the test says what came."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_request_is_sent_again_with_the_same_key_when_the_server_is_overloaded(url, answers, requests):
    answers += [(503, {"Retry-After": "0"})] * 3 + [(200, {})]
    with Sender(url, "proj_1") as sender:
        sender.post_json(DEPLOYS_PATH, {"version": "v1"}, idempotency_key="one")
    assert [headers["Idempotency-Key"] for headers, _ in requests] == ["one"] * 4
    assert [body for _, body in requests] == [b'{"version":"v1"}'] * 4
    assert {headers["Authorization"] for headers, _ in requests} == {"Bearer proj_1"}


@pytest.mark.parametrize("status", [400, 401, 500])
def test_what_the_server_refuses_is_said_and_not_sent_again(url, answers, requests, status):
    answers.append((status, {}))
    with Sender(url, "proj_1") as sender, pytest.raises(DemoError, match=f"{DEPLOYS_PATH} answered {status}: no"):
        sender.post_json(DEPLOYS_PATH, {}, idempotency_key="one")
    assert len(requests) == 1


def test_an_empty_202_is_success(url, answers):
    answers.append((202, {}))
    with Sender(url, "proj_1") as sender:
        sender.post_spans(b"", idempotency_key="one")


def test_a_server_that_is_not_there_is_named():
    url = f"http://127.0.0.1:{free_port()}"
    with Sender(url, "proj_1", lost_retries=0) as sender, pytest.raises(DemoError, match="cannot be reached"):
        sender.post_spans(b"", idempotency_key="one")
