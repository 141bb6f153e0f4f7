"""No address that a user wrote leads into the network of the operator, however it is written."""

import ipaddress
import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.alerts.addresses import TargetRefused, is_public
from scheduler.alerts.targets import ANSWER_MAX_BYTES, HttpRequest, Targets, TargetUnreachable, resolve
from tests.scheduler.alerts.sinks import HttpSink, tls_context, tls_files

NAMES = {
    "localhost.": ["127.0.0.1"],
    "loopback.example.com": ["127.0.0.1"],
    "half.example.com": ["93.184.216.34", "127.0.0.1"],
    "metadata.example.com": ["169.254.169.254"],
    "six.example.com": ["::1"],
    "mapped.example.com": ["::ffff:127.0.0.1"],
    "nowhere.example.com": [],
}
"""What a hostile name server says."""

HOSTILE = [
    "https://127.0.0.1:{port}/",
    "https://localhost:{port}/",
    "https://LOCALHOST.:{port}/",
    "https://127.1:{port}/",
    "https://0.0.0.0:{port}/",
    "https://2130706433:{port}/",
    "https://0x7f000001:{port}/",
    "https://0x7f.1:{port}/",
    "https://0177.0.0.1:{port}/",
    "https://017700000001:{port}/",
    "https://127.0.0.1.:{port}/",
    "https://[::1]:{port}/",
    "https://[::]:{port}/",
    "https://[::ffff:127.0.0.1]:{port}/",
    "https://[::ffff:7f00:1]:{port}/",
    "https://[::127.0.0.1]:{port}/",
    "https://[64:ff9b::7f00:1]:{port}/",
    "https://[64:ff9b:1::7f00:1]:{port}/",
    "https://[2002:7f00:1::]:{port}/",
    "https://[fe80::1%25lo]:{port}/",
    "https://10.0.0.1:{port}/",
    "https://100.64.0.1:{port}/",
    "https://169.254.169.254/latest/meta-data/",
    "https://loopback.example.com:{port}/",
    "https://half.example.com:{port}/",
    "https://metadata.example.com/latest/meta-data/",
    "https://six.example.com:{port}/",
    "https://mapped.example.com:{port}/",
    "https://nowhere.example.com:{port}/",
    "https://user:secret@127.0.0.1:{port}/",
    "https://93.184.216.34@127.0.0.1:{port}/",
    "https://127.0.0.1:{port}\\@93.184.216.34/",
    "https://①②⑦.⓪.⓪.①:{port}/",
    "http://127.0.0.1:{port}/",
    "http://93.184.216.34:{port}/",
    "HTTP://localhost:{port}/",
    "file:///etc/passwd",
    "unix:///run/docker.sock",
    "gopher://127.0.0.1:{port}/",
    "//127.0.0.1:{port}/",
    "https:///etc/passwd",
    "https://127.0.0.1:{port}/\r\nX-Other: 1",
    "https://[127.0.0.1:{port}/",
    "https://127.0.0.1:99999/",
]


def names(host, port):
    """The resolver of this machine, but for the names of the hostile one."""
    return NAMES[host] if host in NAMES else resolve(host, port)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return tls_files(tmp_path_factory.mktemp("tls"), "sink.example.com")


def request(url):
    return HttpRequest(url, b"{}", {"Content-Type": "application/json"})


@pytest.mark.parametrize("host", ["a..b", ".a", "a" * 64 + ".example.com", ".".join(["a" * 60] * 5)])
def test_a_host_that_no_resolver_takes_is_refused_and_not_tried_again(host):
    with pytest.raises(TargetRefused, match="no host name"):
        Targets().post(request(f"https://{host}/"))


@pytest.mark.parametrize("url", HOSTILE)
def test_no_hostile_address_is_reached(url):
    with HttpSink() as sink:
        with pytest.raises(TargetRefused) as refused:
            Targets(resolve=names).post(request(url.format(port=sink.port)))
        assert sink.connections == 0
    assert "127.0.0.1" not in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "loopback.example.com"])
def test_with_the_switch_private_addresses_are_reached(host):
    with HttpSink(status=202) as sink:
        answer = Targets(allow_private=True, resolve=names).post(request(f"http://{host}:{sink.port}/hook?a=b"))
        assert (answer.status, answer.body) == (202, b"ok")
        assert [(came.path, came.body) for came in sink.came] == [("/hook?a=b", b"{}")]


def test_plain_http_does_not_go_to_public_addresses_even_with_the_switch():
    with pytest.raises(TargetRefused):
        Targets(allow_private=True).post(request("http://93.184.216.34/"))


def test_what_a_name_means_after_it_was_checked_has_no_say(certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    asked = []

    def rebinding(host, port):
        asked.append((host, port))
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

    with HttpSink(tls=tls_context(*certificate)) as sink:
        answer = Targets(allow_private=True, resolve=rebinding).post(request(f"https://sink.example.com:{sink.port}/"))
        assert answer.status == 200
        assert asked == [("sink.example.com", sink.port)]
        assert [came.headers["host"] for came in sink.came] == [f"sink.example.com:{sink.port}"]


def test_a_certificate_for_another_name_is_refused_and_nothing_is_sent(certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with HttpSink(tls=tls_context(*certificate)) as sink:
        targets = Targets(allow_private=True, resolve=lambda *_: ["127.0.0.1"])
        with pytest.raises(TargetUnreachable, match="certificate"):
            targets.post(request(f"https://other.example.com:{sink.port}/"))
        assert sink.came == []


def test_a_redirect_is_an_answer_and_is_not_followed():
    with HttpSink() as inside, HttpSink(status=307, headers={"Location": inside.url}) as sink:
        assert Targets(allow_private=True).post(request(sink.url)).status == 307
        assert inside.connections == 0


def test_the_proxies_of_the_environment_are_not_used(monkeypatch):
    with HttpSink() as proxy, HttpSink() as sink:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert Targets(allow_private=True).post(request(sink.url)).status == 200
        assert proxy.connections == 0


def test_of_a_large_answer_only_the_beginning_is_kept():
    with HttpSink(body=b"x" * (ANSWER_MAX_BYTES * 40)) as sink:
        assert Targets(allow_private=True).post(request(sink.url)).body == b"x" * ANSWER_MAX_BYTES


def test_an_answer_that_comes_drop_by_drop_ends_at_the_time_of_the_whole_request():
    stop = threading.Event()

    def drip(listener):
        connection, _ = listener.accept()
        with connection:
            while not stop.wait(0.02):
                try:
                    connection.sendall(b"H")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)  # nobody came: the thread says so, and the test does not wait for ever
        server = threading.Thread(target=drip, args=(listener,))
        server.start()
        with pytest.raises(TargetUnreachable):
            Targets(allow_private=True, timeout_s=1).post(request(f"http://127.0.0.1:{listener.getsockname()[1]}/"))
        stop.set()
        server.join()


def test_who_does_not_answer_in_time_is_not_waited_for():
    with HttpSink() as sink:
        sink.let_go.clear()
        with pytest.raises(TargetUnreachable, match=r"no answer within 0\.2 s"):
            Targets(allow_private=True, timeout_s=0.2).post(request(sink.url))


def test_a_name_that_nobody_knows_may_be_known_later():
    def unknown(host, port):
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    with pytest.raises(TargetUnreachable, match="cannot be resolved: Temporary failure"):
        Targets(resolve=unknown).post(request("https://hooks.example.com/"))


def test_the_next_address_of_a_name_is_tried_when_one_does_not_answer():
    with HttpSink() as sink:
        targets = Targets(allow_private=True, resolve=lambda *_: ["127.0.0.9", "127.0.0.1"])
        assert targets.post(request(f"http://two.example.com:{sink.port}/")).status == 200


def test_what_goes_wrong_does_not_tell_the_address():
    url = "https://hooks.example.com/services/T000/B000/secret"
    for failing in (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), ConnectionRefusedError(111, "refused")):
        with pytest.raises(TargetUnreachable) as unreachable:
            Targets(resolve=lambda *_, error=failing: (_ for _ in ()).throw(error)).post(request(url))
        assert "secret" not in f"{unreachable.value!r}"
    assert "secret" not in repr(request(url))


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "1.1.1.1", "93.184.216.34", "2606:4700::1111", "2001:4860:4860::8888", "64:ff9b::808:808"],
)
def test_public_addresses_are(address):
    assert is_public(address)


@given(st.ip_addresses(v=4))
def test_an_address_is_as_public_behind_nat64_as_it_is_and_never_when_mapped(address):
    assert is_public(f"64:ff9b::{address}") == is_public(str(address))
    for text in (f"::ffff:{address}", f"::{address}", f"2002:{int(address) >> 16:x}:{int(address) & 0xFFFF:x}::"):
        assert not is_public(text)


@given(st.ip_addresses())
def test_a_public_address_is_global_to_python_too(address):
    if is_public(str(address)) and address not in ipaddress.ip_network(
        "64:ff9b::/96" if address.version == 6 else "0.0.0.0/32"
    ):
        assert address.is_global
