"""Agents: uap's rules against ua-parser, the direct scan against the rules, bots, frozen versions, Client Hints."""

from __future__ import annotations

import pytest
from ua_parser import Resolver
from ua_parser.core import Domain
from ua_parser.loaders import load_lazy_builtins
from ua_parser.regex import Resolver as RustResolver

from rust_ext import Agents, bot_reasons
from tests.rust_ext.agent_sets import (
    CORPORA,
    NO_CORPORA,
    PACK,
    corpus,
    crawler_instances,
    damaged,
    generated_agents,
)

# `record::Device`.
DESKTOP, MOBILE, TABLET, BOT = 1, 2, 3, 7

with_corpora = pytest.mark.skipif(not CORPORA.is_dir(), reason=NO_CORPORA)


@pytest.fixture(scope="module")
def agents() -> Agents:
    return Agents(str(PACK))


@pytest.fixture(scope="module")
def ua_parser() -> Resolver:
    return RustResolver(load_lazy_builtins())


def differences_from_ua_parser(agents: Agents, ua_parser: Resolver, texts: list[str]) -> list[object]:
    found: list[object] = []
    for text in texts:
        browser, system, device = agents.uap(text.encode())
        theirs = ua_parser(text, Domain.ALL)
        expected = (
            theirs.user_agent
            and (
                theirs.user_agent.family,
                theirs.user_agent.major,
                theirs.user_agent.minor,
                theirs.user_agent.patch,
                theirs.user_agent.patch_minor,
            ),
            theirs.os and (theirs.os.family, theirs.os.major, theirs.os.minor, theirs.os.patch, theirs.os.patch_minor),
            theirs.device and (theirs.device.family, theirs.device.brand, theirs.device.model),
        )
        if (browser, system, device) != expected:
            found.append((text, (browser, system, device), expected))
    return found


def test_uap_equals_ua_parser(agents: Agents, ua_parser: Resolver) -> None:
    texts = generated_agents() + damaged(generated_agents()) + crawler_instances()
    assert differences_from_ua_parser(agents, ua_parser, [text for text in texts if text.isascii()]) == []


@with_corpora
def test_uap_equals_ua_parser_over_the_corpora(agents: Agents, ua_parser: Resolver) -> None:
    names = ("uap_ua", "uap_os", "uap_device", "agents_weighted")
    texts = [entry["ua"] for name in names for entry in corpus(name)]
    assert differences_from_ua_parser(agents, ua_parser, [text for text in texts if text.isascii()]) == []


@with_corpora
def test_uap_passes_the_tests_of_uap_core(agents: Agents) -> None:
    for entry in corpus("uap_ua"):
        found = agents.uap(entry["ua"].encode())[0] or ("Other", None, None, None, None)
        assert found[:4] == (entry["family"], entry["major"], entry["minor"], entry["patch"]), entry
    for entry in corpus("uap_os"):
        expected = tuple(entry[key] for key in ("family", "major", "minor", "patch", "patch_minor"))
        assert (agents.uap(entry["ua"].encode())[1] or ("Other", None, None, None, None)) == expected, entry
    for entry in corpus("uap_device"):
        expected = tuple(entry[key] for key in ("family", "brand", "model"))
        assert (agents.uap(entry["ua"].encode())[2] or ("Other", None, None)) == expected, entry


def check_scan(agents: Agents, texts: list[str]) -> int:
    """Asserts that the scan answers as the rules do; how many it answered."""
    scanned = 0
    for text in texts:
        answer = Agents.scan(text.encode())
        if answer is None:
            continue
        scanned += 1
        assert answer == agents.parse_by_rules(text.encode()), text
        browser = agents.uap(text.encode())[0]
        assert browser is not None, text
        # Family and major version are uap's own.
        assert answer[0] == browser[0], text
        assert answer[1].split(".")[0] == (browser[1] or ""), text
    return scanned


def test_scan_answers_as_the_rules_do(agents: Agents) -> None:
    assert check_scan(agents, generated_agents()) > 100
    check_scan(agents, damaged(generated_agents()))
    assert check_scan(agents, crawler_instances()) < 30, "bots that look exactly like a browser"


@with_corpora
def test_scan_answers_as_the_rules_do_over_the_corpora(agents: Agents) -> None:
    for name in ("uap_ua", "uap_os", "uap_device"):
        check_scan(agents, [entry["ua"] for entry in corpus(name)])
    weighted = corpus("agents_weighted")
    check_scan(agents, [entry["ua"] for entry in weighted])
    scanned_share = sum(entry["w"] for entry in weighted if Agents.scan(entry["ua"].encode()))
    assert scanned_share >= 0.99 * sum(entry["w"] for entry in weighted)


def test_finds_the_crawlers_of_the_list(agents: Agents) -> None:
    instances = crawler_instances()
    missed = [text for text in instances if not agents.parse(text.encode())[5]]
    assert len(missed) <= 0.01 * len(instances), missed


def test_finds_bots_without_the_list_that_names_them(agents: Agents) -> None:
    """The list's own bit left out, its instances stand for bots that no list knows yet."""
    crawler_list = next(bit for bit, name in bot_reasons() if name == "crawler_list")
    instances = crawler_instances()
    missed = [text for text in instances if not agents.parse(text.encode())[5] & ~crawler_list]
    assert len(missed) <= 0.01 * len(instances), missed


def test_no_generated_browser_is_a_bot(agents: Agents) -> None:
    wrong = [
        text
        for text in generated_agents()
        if agents.parse(text.encode())[5] and "Headless" not in text and "compatible" not in text
    ]
    assert wrong == []


@with_corpora
def test_browsers_of_the_corpora_are_no_bots(agents: Agents) -> None:
    weighted = corpus("agents_weighted")
    assert [entry["ua"] for entry in weighted if agents.parse(entry["ua"].encode())[5]] == []
    # A browser of uap's: it names itself as browsers do, and uap does not call it a spider.
    browsers = [
        entry["ua"]
        for entry in corpus("uap_device")
        if entry["family"] != "Spider" and entry["ua"].startswith(("Mozilla/", "Opera/"))
    ]
    wrong = [text for text in browsers if agents.parse(text.encode())[5]]
    assert len(wrong) <= 0.005 * len(browsers), wrong


@pytest.mark.parametrize(
    ("agent", "reason"),
    [
        (b"", "agent_is_empty"),
        (b"-", "agent_is_empty"),
        (b"\xff\xfe\x00", "agent_is_empty"),
        (b"curl/8.5.0", "http_library"),
        (b"python-requests/2.32", "http_library"),
        (b"Mozilla/5.0 (compatible; NeverSeenBot/1.0; +https://example.org/bot)", "generic_word"),
        (b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/145.0.0.0 Safari/537.36", "headless"),
        (b"Googlebot/2.1 (+http://www.google.com/bot.html)", "crawler_list"),
        (b"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "uap_spider"),
        (b"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "isbot_pattern"),
    ],
)
def test_says_why_it_is_a_bot(agents: Agents, agent: bytes, reason: str) -> None:
    answer = agents.parse(agent)
    assert answer[4] == BOT
    assert reason in [name for bit, name in bot_reasons() if answer[5] & bit]


@pytest.mark.parametrize(
    "agent",
    [
        # Phones and apps whose names hold the words of machines.
        b"Mozilla/5.0 (Linux; Android 13; CUBOT NOTE 30) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/145.0.0.0 "
        b"Mobile Safari/537.36",
        b"Mozilla/5.0 (Linux; Android 15; CPH2557 Build/AP3A.240617.008; wv) AppleWebKit/537.36 (KHTML, like Gecko) "
        b"Version/4.0 Chrome/142.0.7444.142 Mobile Safari/537.36 Instagram 406.0.0.58.159 Android",
        b"Mozilla/5.0 (LG-T500 AppleWebkit/531 Browser/Phantom/V2.0 Java/ASVM/1.1 Profile/MIDP-2.1)",
        b"Mozilla/5.0 (iPad; CPU OS 7_0 like Mac OS X) WIRED/3.2.3.11.87970",
    ],
)
def test_people_are_no_bots(agents: Agents, agent: bytes) -> None:
    assert agents.parse(agent)[5] == 0


WEBKIT = b"AppleWebKit/537.36 (KHTML, like Gecko) Chrome/145.0.0.0 Safari/537.36"


def test_frozen_versions_are_not_told(agents: Agents) -> None:
    mac = agents.parse(b"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) " + WEBKIT)
    windows = agents.parse(b"Mozilla/5.0 (Windows NT 10.0; Win64; x64) " + WEBKIT)
    android = agents.parse(b"Mozilla/5.0 (Linux; Android 10; K) " + WEBKIT)
    assert (mac[2], mac[3]) == ("Mac OS X", "")
    assert (windows[2], windows[3]) == ("Windows", "10 or 11")
    assert (android[2], android[3]) == ("Android", "")


def test_client_hints_tell_what_agents_do_not(agents: Agents) -> None:
    agent = b"Mozilla/5.0 (Windows NT 10.0; Win64; x64) " + WEBKIT
    brands = b'"Not)A;Brand";v="24", "Chromium";v="145", "Brave";v="145"'
    plain = agents.parse(agent)
    for _ in range(3):
        eleven = agents.parse(agent, (brands, b"?0", b'"Windows"', b'"15.0.0"', None, None))
        ten = agents.parse(agent, (brands, b"?0", b'"Windows"', b'"10.0.0"', None, None))
        assert eleven == ("Brave", "145", "Windows", "11", DESKTOP, 0)
        assert ten == ("Brave", "145", "Windows", "10", DESKTOP, 0)
        assert agents.parse(agent) == plain


def test_the_cache_changes_no_answer(agents: Agents) -> None:
    """A cache of four entries in front of thousands of agents, against none."""
    small = Agents(str(PACK), seed=(1, 2), cache_entries=4)
    texts = [text.encode() for text in generated_agents() + crawler_instances()[:300]]
    for text in [text for text in texts for _ in range(3)]:
        assert small.parse(text) == agents.parse(text)


def test_long_agents_are_cut(agents: Agents) -> None:
    long = b"Mozilla/5.0 (Windows NT 10.0; Win64; x64) " + WEBKIT + b" " + b"x" * 100_000
    assert agents.parse(long) == agents.parse(long[:512])


def test_parse_many_counts_bots(agents: Agents) -> None:
    batch = [b"curl/8.5.0", b"Mozilla/5.0 (Windows NT 10.0; Win64; x64) " + WEBKIT]
    for cached in (True, False):
        assert agents.parse_many(batch, cached=cached, rounds=3) == (3, 3 * (BOT + DESKTOP))
