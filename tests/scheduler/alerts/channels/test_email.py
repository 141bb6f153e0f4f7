"""Mail arrives at a real server, whole, once, and to nobody else; a password never goes without TLS."""

import datetime as dt
import smtplib
from dataclasses import replace

import pytest

from scheduler.alerts.channels import email
from scheduler.alerts.channels.channel import Channel
from scheduler.alerts.channels.senders import Senders, send_mail
from scheduler.alerts.channels.settings import ChannelSettings, ChannelUnusable
from tests.scheduler.alerts.alerts import BEGAN, FIRING, RESOLVED, of_service
from tests.scheduler.alerts.sinks import MailSink, tls_context, tls_files

DEFAULT = Channel("email")
SETTINGS = ChannelSettings(alert_email_to="oncall@example.com, lead@example.com", alert_email_from="tracelake@example.com",
                           lab_url="https://lab.example.com")  # fmt: skip


def message(*notifications, channel=DEFAULT, settings=SETTINGS, message_id="msg_1"):
    return email.render(notifications, channel, settings, message_id=message_id, sent_at=BEGAN)


def body(came, kind):
    found = came.get_body((kind,))
    assert found is not None
    return found.get_content()


def plain(sink):
    return f"smtp+plain://127.0.0.1:{sink.port}"


@pytest.fixture
def certificate(tmp_path, monkeypatch):
    files = tls_files(tmp_path, "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(files[0]))
    return files


def test_a_message_arrives_in_text_and_html_and_names_all():
    with MailSink() as sink:
        assert send_mail(plain(sink), message(FIRING)).result == "delivered"
        [(recipients, came)] = sink.came
    assert recipients == ["oncall@example.com", "lead@example.com"]
    assert came["Subject"] == "[critical] p95 of checkout"
    assert came["From"] == "Tracelake <tracelake@example.com>"
    assert came["Message-ID"] == "<msg_1@example.com>"
    text, html = body(came, "plain"), body(came, "html")
    for part in ("checkout", "812 ms", "500 ms", "2026-11-25 09:00:00 UTC", "v1.2.3 abc123def456", FIRING.trace_id,
                 FIRING.links(None, SETTINGS.lab_url).notebook):  # fmt: skip
        assert part in text
        assert part in html


def test_messages_of_one_rule_are_one_thread_and_have_ids_of_their_own():
    firing, resolved = message(FIRING, message_id="msg_1"), message(RESOLVED, message_id="msg_2")
    other = message(replace(FIRING, rule_id="rule_other"))
    assert firing["References"] == firing["In-Reply-To"] == resolved["References"] != other["References"]
    assert firing["Message-ID"] != resolved["Message-ID"]


def test_alerts_of_one_rule_are_one_message():
    came = message(*(of_service(f"service-{number}") for number in range(60)))
    text = body(came, "plain")
    assert text.count("Threshold:") == email.SHOWN_MAX
    assert "and 10 more" in text
    assert "and 10 more" in body(came, "html")


def test_no_text_of_users_is_a_header_or_html():
    hostile = replace(
        FIRING, rule_name="x\r\nBcc: all@example.com\r\n\r\n<script>", labels={"service": "<img src=x>\r\n.\r\n"}
    )
    with MailSink() as sink:
        assert send_mail(plain(sink), message(hostile)).result == "delivered"
        [(recipients, came)] = sink.came
    assert recipients == ["oncall@example.com", "lead@example.com"]
    assert came["Bcc"] is None
    html = body(came, "html")
    assert "<script>" not in html
    assert "<img" not in html


def test_a_channel_has_recipients_of_its_own():
    assert str(message(FIRING, channel=Channel("email", "a@example.org"))["To"]) == "a@example.org"


@pytest.mark.parametrize("settings", [ChannelSettings(), ChannelSettings(alert_email_to="a@example.com")])
def test_without_addresses_the_setting_is_named(settings):
    with pytest.raises(ChannelUnusable, match="TRACELAKE_ALERT_EMAIL_FROM"):
        message(FIRING, settings=settings)


def test_the_password_goes_over_tls(certificate):
    with MailSink(tls=tls_context(*certificate), password="s3cret/:") as sink:
        url = f"smtp://tracelake:s3cret%2F%3A@localhost:{sink.port}"
        assert send_mail(url, message(FIRING)).result == "delivered"
        assert len(sink.came) == 1
        refused = send_mail(url.replace("s3cret", "wrong"), message(FIRING))
        assert refused.result == "dead"
        assert "535" in (refused.reason or "")
        assert "wrong" not in (refused.reason or "")


def test_a_server_without_tls_does_not_get_the_password():
    with MailSink() as sink:
        outcome = send_mail(f"smtp://tracelake:s3cret@127.0.0.1:{sink.port}", message(FIRING))
        assert (outcome.result, sink.came) == ("dead", [])
        assert "STARTTLS" in (outcome.reason or "")


def test_a_server_whose_certificate_is_for_another_name_gets_nothing(certificate):
    with MailSink(tls=tls_context(*certificate)) as sink:
        outcome = send_mail(f"smtp://127.0.0.1:{sink.port}", message(FIRING))
        assert (outcome.result, sink.came) == ("retry", [])


@pytest.mark.parametrize(("answer", "result"), [("451 try again", "retry"), ("554 no", "dead"), ("452 full", "retry")])
def test_what_the_server_answers_is_what_becomes_of_it(answer, result):
    with MailSink(answer=answer) as sink:
        outcome = send_mail(plain(sink), message(FIRING))
    assert (outcome.result, outcome.reason) == (result, f"the mail server answered {answer}")


def test_a_recipient_that_is_refused_does_not_keep_it_from_the_others():
    with MailSink(refused=frozenset({"lead@example.com"})) as sink:
        outcome = send_mail(plain(sink), message(FIRING))
        assert (outcome.result, outcome.reason) == ("delivered", "not to 1 recipients that the mail server refuses")
        assert [recipients for recipients, _ in sink.came] == [["oncall@example.com"]]
    with MailSink(refused=frozenset({"lead@example.com", "oncall@example.com"})) as sink:
        assert send_mail(plain(sink), message(FIRING)).result == "dead"


def test_no_server_is_a_reason_to_try_again():
    with MailSink() as sink:
        url = plain(sink)
    assert send_mail(url, message(FIRING)).result == "retry"
    assert send_mail("", message(FIRING)).reason == "set TRACELAKE_SMTP_URL to a mail server"


def test_a_server_that_fails_after_it_took_the_message_does_not_get_it_twice(monkeypatch):
    def fails(self):
        raise smtplib.SMTPServerDisconnected("gone")

    monkeypatch.setattr(smtplib.SMTP, "quit", fails)
    with MailSink() as sink:
        settings = replace(SETTINGS, smtp_url=plain(sink))
        sent = Senders(settings).send([FIRING], Channel("email"), message_id="m", sent_at=dt.datetime.now(dt.UTC))
        assert sent.result == "delivered"
