"""The traffic generator repeats itself, keeps its proportions and makes well-formed bytes."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from bench.traffic import (
    Agent,
    HitKind,
    TrafficMix,
    bots,
    browsers,
    event_body,
    generate_hits,
    http_request,
    umami_body,
)
from bench.traffic import agents as agents_module
from bench.traffic.access_log import log_lines
from bench.wrk import LENGTH_DIGITS, write_script

COMBINED_LINE = re.compile(
    r'^\d+\.\d+\.\d+\.\d+ - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000\] "GET /\S* HTTP/1\.1" \d{3} \d+ "[^"]*" ".*"$'
)


def test_same_seed_gives_the_same_hits_and_another_seed_does_not() -> None:
    first = list(generate_hits(500, seed=7))
    assert first == list(generate_hits(500, seed=7))
    assert first != list(generate_hits(500, seed=8))


def test_hits_come_in_time_order_at_the_asked_rate() -> None:
    mix = TrafficMix(hits_per_second=200.0)
    hits = list(generate_hits(4_000, seed=1, mix=mix))
    assert all(a.time_ms <= b.time_ms for a, b in itertools.pairwise(hits))
    assert 18_000 < hits[-1].time_ms - hits[0].time_ms < 22_000


def test_proportions_follow_the_mix() -> None:
    hits = list(generate_hits(40_000, seed=2, mix=TrafficMix(sites=("a.example", "b.example"), bot_share=0.1)))
    kinds = Counter(hit.kind for hit in hits)
    people_views = sum(hit.kind is HitKind.PAGEVIEW and not hit.agent.is_bot for hit in hits)
    assert kinds[HitKind.ENGAGEMENT] / people_views == pytest.approx(0.55, abs=0.03)
    assert kinds[HitKind.VITALS] / people_views == pytest.approx(0.30, abs=0.03)
    assert sum(hit.agent.is_bot for hit in hits) / len(hits) == pytest.approx(0.1, abs=0.02)
    assert {hit.site for hit in hits} == {"a.example", "b.example"}


def test_pages_follow_zipf() -> None:
    mix = TrafficMix(query_share=0, campaign_share_of_visits=0, pages_per_site=1_000, zipf_exponent=1.0)
    views = Counter(hit.url for hit in generate_hits(60_000, seed=3, mix=mix) if hit.kind is HitKind.PAGEVIEW)
    ranked = [count for _, count in views.most_common()]
    assert ranked[0] / ranked[1] == pytest.approx(2, abs=0.4)
    assert ranked[0] / ranked[9] == pytest.approx(10, abs=4)


def test_hits_of_one_load_share_its_id_in_sequence() -> None:
    loads: dict[int, list[int]] = {}
    for hit in generate_hits(5_000, seed=4):
        loads.setdefault(hit.load_id, []).append(hit.sequence)
    assert all(sequences == list(range(len(sequences))) for sequences in loads.values())


def test_event_body_carries_what_its_kind_has() -> None:
    for hit in generate_hits(2_000, seed=5):
        body = json.loads(event_body(hit))
        assert body["d"] == hit.site
        assert body["u"] == hit.url
        assert ("w" in body) is (hit.kind in (HitKind.VITALS, HitKind.TIMINGS))
        assert ("e" in body) is (hit.kind is HitKind.ENGAGEMENT)
        assert json.loads(umami_body(hit, "id"))["payload"]["website"] == "id"


def test_http_request_is_framed_and_looks_like_a_browsers() -> None:
    for hit in generate_hits(300, seed=6):
        head, _, body = http_request(hit, host="127.0.0.1:8000").partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines[1:])
        assert lines[0] == "POST /api/event HTTP/1.1"
        assert len(lines) - 1 == len(fields) >= 12
        assert int(fields["Content-Length"]) == len(body)
        assert ("sec-ch-ua" in fields) is hit.agent.sends_client_hints
        assert fields["X-Forwarded-For"] == hit.address


def test_log_lines_are_combined_format_and_include_assets_and_errors() -> None:
    lines = list(log_lines(generate_hits(3_000, seed=9)))
    assert all(COMBINED_LINE.match(line) for line in lines)
    assert any('"GET /static/app.js HTTP/1.1" 200' in line for line in lines)
    assert any('" 404 ' in line for line in lines)


def test_agents_come_from_the_packages() -> None:
    assert len(bots().agents) > 1_000
    assert browsers().cumulative == tuple(sorted(browsers().cumulative))


def test_without_node_modules_the_built_in_list_serves(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(agents_module, "BROWSERS_FILE", tmp_path / "absent.json")
    found = browsers.__wrapped__()
    assert found.source == "built-in list"
    assert isinstance(found.agents[0], Agent)


def test_wrk_script_holds_every_request(tmp_path: Path) -> None:
    requests = [http_request(hit, host="h") for hit in generate_hits(20, seed=1)]
    script = write_script(tmp_path, requests)
    stored = (tmp_path / "requests.bin").read_bytes()
    read = []
    while stored:
        length = int(stored[:LENGTH_DIGITS])
        read.append(stored[LENGTH_DIGITS : LENGTH_DIGITS + length])
        stored = stored[LENGTH_DIGITS + length :]
    assert read == requests
    assert str(tmp_path / "requests.bin") in script.read_text()
