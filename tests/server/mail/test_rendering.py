"""What mails say: each template with everyday values and with hostile ones."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.mail import TEMPLATES, ContextMismatch, LinkRefused, UnknownTemplate
from server.mail.announcement_text import parse_text
from server.mail.rendering import MAX_SUBJECT_CHARS, TEMPLATES_DIR, render

NOON_MS = 1_795_435_200_000
PUBLIC_URL = "https://footfall.example"
LINK = "https://footfall.example/open?token=abc&next=%2Fme"

VALUES: dict[str, object] = {
    "name": "Ann Dör",
    "link": LINK,
    "login_link": f"{PUBLIC_URL}/login",
    "reset_link": f"{PUBLIC_URL}/reset",
    "sessions_link": f"{PUBLIC_URL}/me/security",
    "expires_in": "an hour",
    "inviter": "Bob",
    "account_name": "Shop & Söhne",
    "site_name": "shop.example",
    "role": "viewer",
    "at_ms": NOON_MS,
    "device": "Firefox on Linux",
    "country": "Côte d'Ivoire",
    "plan": "Basic",
    "former_plan": "Free",
    "monthly_events": "10,000,000",
    "counted_events": "8,000,000",
    "outlook": "If all of it is used up before, hits are taken for 7 more days.",
    "usage_link": f"{PUBLIC_URL}/accounts/1/usage",
    "reason": "Its subscription has ended.",
    "until": "2026-12-02 12:00 UTC",
    "billing_link": f"{PUBLIC_URL}/accounts/1/billing",
    "may": "see its figures",
    "state": "off",
    "kind": "job_late",
    "summary": "job daily is late",
    "detail": "due 06:00\nnot started",
    "repeated": "It happened twice since the last message.",
    "is_urgent": True,
    "period": "23 to 29 November 2026",
    "is_partial": True,
    "visitors": "1,234 visitors",
    "figures": [
        {"label": "Visitors", "value": "1,234", "before": "1,100", "change": "+12 %", "tone": "good"},
        {"label": "Bounce rate", "value": "40 %", "before": "38 %", "change": "+2 points", "tone": "bad"},
    ],
    "pages": [{"name": "/prices", "visitors": "20"}],
    "sources": [{"name": "Direct / None", "visitors": "7"}],
    "vitals": [
        {
            "label": "Largest Contentful Paint",
            "value": "2.6 s",
            "before": "2.1 s",
            "rating": "needs improvement",
            "rating_before": "good",
            "tone": "bad",
        }
    ],
    "days": ["Sun 29 Nov  12  ####"],
    "chart_text": "Visitors by day, 16 November 2026 to 29 November 2026: none.",
    "why": "You get the weekly report about a site.",
    "dashboard_link": f"{PUBLIC_URL}/sites/shop.example?period=day&date=2026-11-29",
    "footer_label": "Unsubscribe from this report",
    "footer_link": f"{PUBLIC_URL}/unsubscribe/1-abc",
    "kinds": "daily report, alerts about traffic",
    "headline": "No hits in the last full hour",
    "explanation": "It usually has 40.",
    "day": "Sunday, 29 November 2026",
    "drops": [{"label": "Bots and scripts", "value": "1,000"}],
    "failures": [],
    "admin_link": f"{PUBLIC_URL}/admin",
    "heading": "Moving on Sunday",
    "announcement": parse_text("We move to a new machine on Sunday.\n\nNothing is lost."),
    "what": "will be deleted",
    "sentence": "Somebody who owns it asked for that.",
    "deletion_link": f"{PUBLIC_URL}/accounts/1/deletion",
}

SECURITY_MAILS = {"email_change_notice", "new_login", "password_changed", "two_factor_changed"}
UNASKED_MAILS = {"confirm_email", "already_registered", "reset_password", "change_email"} | SECURITY_MAILS


def context_of(template: str, **changed: object) -> dict[str, object]:
    """Values for a template; `changed` replaces those that it has."""
    return {name: changed.get(name, VALUES[name]) for name in TEMPLATES[template]}


class Page(HTMLParser):
    """Collects what a mail program would act on, and checks that tags are closed."""

    VOID = frozenset(("meta", "br", "img", "link"))

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "background")]
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("style", "title"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def test_every_template_has_both_forms_and_the_table_knows_it() -> None:
    parts = {"layout", "button", "footer"}
    assert {path.stem for path in TEMPLATES_DIR.glob("*.txt")} - parts == set(TEMPLATES)
    assert {path.stem for path in TEMPLATES_DIR.glob("*.html")} - parts == set(TEMPLATES)


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_first_comment_names_the_values(template: str) -> None:
    comments = set()
    for form in ("txt", "html"):
        found = re.search(r"\{# (.*?) #\}", (TEMPLATES_DIR / f"{template}.{form}").read_text())
        assert found is not None
        comments.add(found[1])
    (comment,) = comments
    named = set() if comment == "no values" else {part.partition(":")[0].strip() for part in comment.split(";")}
    assert named == TEMPLATES[template]


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_mail_reads_well(template: str) -> None:
    mail = render(template, context_of(template), PUBLIC_URL, NOON_MS)
    assert 5 < len(mail.subject) < 80
    assert "{" not in mail.subject + mail.text
    assert mail.text.isprintable() or "\n" in mail.text
    assert max(map(len, mail.text.splitlines())) <= 100
    assert mail.text.endswith(f"-- \nSent by Footfall at {PUBLIC_URL}.\n")
    assert "\n\n\n\n" not in mail.text
    page = Page(mail.html)
    assert ("img" in page.tags) == (template == "site_report"), "nothing is fetched from anywhere"
    assert "script" not in page.tags
    for value in context_of(template).values():
        if isinstance(value, int | list):
            continue
        text = str(value)
        assert text in mail.text.replace("\u2060", "") or template == "alert"
        if text.startswith("https://"):
            assert text in page.links, "what can be opened in the text can be clicked"
        else:
            assert " ".join(text.split()) in page.text.replace("\u2060", "")
    ours = {value for value in context_of(template).values() if isinstance(value, str)}
    assert set(page.links) - {"cid:chart@footfall"} <= ours


@pytest.mark.parametrize("template", sorted(UNASKED_MAILS))
def test_a_mail_that_was_not_asked_for_says_what_to_do(template: str) -> None:
    mail = render(template, context_of(template), PUBLIC_URL, NOON_MS)
    assert "Was it not you? Then" in mail.text
    assert "Was it not you? Then" in Page(mail.html).text


@pytest.mark.parametrize("template", sorted(SECURITY_MAILS))
def test_a_security_mail_says_when_it_happened(template: str) -> None:
    mail = render(template, context_of(template), PUBLIC_URL, NOON_MS)
    assert "2026-11-23 12:00 UTC" in mail.text
    assert "2026-11-23 12:00 UTC" in Page(mail.html).text


def test_without_a_name_nobody_is_called_nothing() -> None:
    mail = render("reset_password", context_of("reset_password", name=""), PUBLIC_URL, NOON_MS)
    assert mail.text.startswith("Hello,\n")


HOSTILE = "<script>alert(1)</script> \"'& {{ 1 + 1 }} {% raw x %}\r\nBcc: eve@example.com\n\nhttp://evil.example/\u202e"


@pytest.mark.parametrize("template", TEMPLATES)
def test_hostile_values_stay_text(template: str) -> None:
    texts = {name: HOSTILE for name, value in VALUES.items() if isinstance(value, str) and not name.endswith("link")}
    mail = render(template, context_of(template, **texts), PUBLIC_URL, NOON_MS)
    assert "\n" not in mail.subject
    assert "\r" not in mail.subject + mail.text + mail.html
    assert "\u202e" not in mail.subject + mail.text + mail.html
    page = Page(mail.html)
    assert "script" not in page.tags
    assert not [link for link in page.links if "evil" in link]
    if template != "alert":  # its detail is ours, and of several lines
        assert "\nBcc" not in mail.text


def test_what_visitors_called_their_pages_and_sources_stays_text() -> None:
    rows = [{"name": HOSTILE, "visitors": "1"}]
    mail = render("site_report", context_of("site_report", pages=rows, sources=rows), PUBLIC_URL, NOON_MS)
    assert "script" not in Page(mail.html).tags
    assert "&lt;script&gt;" in mail.html
    for content in (mail.text, mail.html):
        assert "evil.example" not in content
        assert "evil.\u2060example" in content
        assert "\nBcc" not in content
        assert "\u202e" not in content


@pytest.mark.parametrize("name", ["name", "inviter", "account_name", "device"])
def test_a_name_is_no_link(name: str) -> None:
    template = next(template for template, names in TEMPLATES.items() if name in names)
    changed = context_of(template, **{name: "Win at https://evil.example/now or mail a@evil.example"})
    mail = render(template, changed, PUBLIC_URL, NOON_MS)
    for content in (mail.text, mail.html):
        assert "evil.example" not in content
        assert "https://evil" not in content
        assert "evil.\u2060example" in content


@pytest.mark.parametrize("link", ["javascript:alert(1)", "//evil.example", "", "https://a b", "https://a\r\nX: y"])
def test_a_link_is_one(link: str) -> None:
    with pytest.raises(LinkRefused):
        render("confirm_email", context_of("confirm_email", link=link), PUBLIC_URL, NOON_MS)


@pytest.mark.parametrize(
    ("template", "context", "words"),
    [
        ("confirm_email", {"link": LINK}, r"missing \['expires_in'\]"),
        ("test", {"name": "Ann"}, r"unexpected \['name'\]"),
        ("new_login", {**context_of("new_login"), "at_ms": "noon"}, "whole number"),
    ],
)
def test_a_context_fits_exactly(template: str, context: dict[str, Any], words: str) -> None:
    with pytest.raises(ContextMismatch, match=words):
        render(template, context, PUBLIC_URL, NOON_MS)


def test_an_unknown_template_is_an_error() -> None:
    with pytest.raises(UnknownTemplate):
        render("newsletter", {}, PUBLIC_URL, NOON_MS)


@given(st.text(max_size=400))
def test_no_summary_breaks_the_subject(summary: str) -> None:
    mail = render("alert", context_of("alert", summary=summary), PUBLIC_URL, NOON_MS)
    assert len(mail.subject) <= MAX_SUBJECT_CHARS
    assert len(mail.subject.splitlines()) == 1
    Page(mail.html)


def test_templates_are_packaged_beside_the_module() -> None:
    assert Path(TEMPLATES_DIR, "layout.html").is_file()
