"""A message as other programs read it: headers, parts, lines."""

from __future__ import annotations

import email
from email.message import EmailMessage
from email.policy import default as parsing_policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.mail.message import Body, build, new_body
from server.mail.rendering import render

NOON_MS = 1_795_435_200_000
FROM = "Füßfall <hello@footfall.example>"


def parsed(subject: str, name: str = "Ann", **headers: str) -> tuple[EmailMessage, bytes]:
    context = {"name": name, "link": "https://footfall.example/" + "x" * 200, "expires_in": "an hour"}
    rendered = render("reset_password", context, "https://footfall.example", NOON_MS)
    body = Body.from_json(new_body(rendered, headers, FROM).to_json())
    content = build(
        body, subject=subject, to_address="ann@example.com", from_email=FROM, created_at_ms=NOON_MS
    ).as_bytes()
    return email.message_from_bytes(content, EmailMessage, policy=parsing_policy), content


def test_the_headers() -> None:
    message, _ = parsed("Grüße aus Köln")
    assert message["From"] == FROM
    assert message["To"] == "ann@example.com"
    assert message["Subject"] == "Grüße aus Köln"
    assert message["Date"].datetime.timestamp() * 1000 == NOON_MS
    assert message["Message-ID"].endswith("@footfall.example>")
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["MIME-Version"] == "1.0"


def test_further_headers_come_along() -> None:
    unsubscribe = {
        "List-Unsubscribe": "<https://footfall.example/unsubscribe/abc>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }
    message, _ = parsed("Report", **unsubscribe)
    assert {name: message[name] for name in unsubscribe} == unsubscribe


def test_text_and_html_are_alternatives_that_any_server_can_carry() -> None:
    message, content = parsed("Hello", name="Jürgen 🦊")
    assert message.get_content_type() == "multipart/alternative"
    text, html = message.iter_parts()
    assert (text.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    for part in (text, html):
        assert part.get_content_charset() == "utf-8"
        assert "Jürgen 🦊" in part.get_content()
        assert "x" * 200 in part.get_content()
    content.decode("ascii")
    assert b"\n" not in content.replace(b"\r\n", b"")
    assert max(map(len, content.split(b"\r\n"))) <= 998


def test_images_stand_beside_the_html_and_are_no_attachments() -> None:
    rendered = render("test", {}, "https://footfall.example", NOON_MS)
    body = Body.from_json(
        new_body(rendered, {}, FROM, {"chart@footfall": b"\x89PNG one", "b@footfall": b"two"}).to_json()
    )
    contents = {
        build(body, subject="a", to_address="ann@example.com", from_email=FROM, created_at_ms=NOON_MS).as_bytes()
        for _ in range(2)
    }
    assert len(contents) == 1, "the same bytes at every attempt"
    message = email.message_from_bytes(contents.pop(), EmailMessage, policy=parsing_policy)
    text, related = message.iter_parts()
    assert (text.get_content_type(), related.get_content_type()) == ("text/plain", "multipart/related")
    html, *images = related.iter_parts()
    assert html.get_content_type() == "text/html"
    assert [(each["Content-ID"], each.get_content()) for each in images] == [
        ("<chart@footfall>", b"\x89PNG one"),
        ("<b@footfall>", b"two"),
    ]
    assert {each.get_content_disposition() for each in images} == {"inline"}
    assert message.get_body(("html",)) is not None, "the outbox shows it"


def test_a_mail_that_was_queued_by_an_earlier_release_is_built() -> None:
    assert Body.from_json(b'{"message_id":"<a@b>","text":"t","html":"h","headers":{}}').images == {}


def test_every_mail_has_a_message_id_of_its_own() -> None:
    assert parsed("a")[0]["Message-ID"] != parsed("a")[0]["Message-ID"]


@pytest.mark.parametrize("subject", ["a\r\nBcc: eve@example.com", "a\nb", "a\rb"])
def test_no_subject_adds_a_header(subject: str) -> None:
    with pytest.raises(ValueError, match="line"):
        parsed(subject)


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=300))
def test_any_subject_travels(subject: str) -> None:
    message, content = parsed(subject)
    assert content.count(b"\r\nSubject:") == 1
    assert "Bcc" not in message
    assert " ".join(str(message["Subject"]).split()) == " ".join(subject.split())
