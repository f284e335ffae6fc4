"""Bot rules against isbot, npm's, run by Node as it is meant to run, on bots and browsers by turns.

isbot says yes or no. Ours says which of its rules gave it away (isbot's patterns are among them), and browser, OS and
device too: the rules have no door of their own. crawler-user-agents, as its package matches agents, stands beside
both.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import crawleruseragents
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.in_process import RULES_PATH
from bench.micro.children import ROOT, StepsChild, child_clock_s, cpu_clock_s, running_child
from bench.traffic import bots, browsers
from rust_ext import Agents

OF_EACH = 500

# isbot and crawler-user-agents each miss some of the bots, and ours knows both lists.
FOUND_AT_LEAST = 0.85


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Crawlers and browsers, by turns."""
    crawlers = [agent.text for agent in bots().agents][:OF_EACH]
    people = list(dict.fromkeys(agent.text for agent in browsers().agents))
    return [text for number, bot in enumerate(crawlers) for text in (bot, people[number % len(people)])]


@pytest.fixture
def isbot(texts: list[str], tmp_path: Path) -> Iterator[StepsChild]:
    """Node with isbot."""
    node = shutil.which("node")
    if node is None or not (ROOT / "node_modules" / "isbot").is_dir():
        pytest.skip("needs node and node_modules: `make build` installs them")
    listed = tmp_path / "agents.txt"
    listed.write_text("".join(f"{text}\n" for text in texts))
    with running_child([node, str(Path(__file__).with_name("isbot_child.mjs")), str(listed)]) as child:
        yield child


@pytest.mark.benchmark(group="bot_rules", timer=cpu_clock_s)
def test_bot_rules(benchmark: BenchmarkFixture, texts: list[str]) -> None:
    benchmark.extra_info["items"] = len(texts)
    agents = Agents(str(RULES_PATH))
    found, _ = benchmark(agents.parse_many, [text.encode() for text in texts], cached=False)
    assert OF_EACH * 0.98 <= found <= OF_EACH * 1.02


@pytest.mark.benchmark(group="bot_rules", timer=child_clock_s)
def test_bot_rules_by_isbot(benchmark: BenchmarkFixture, isbot: StepsChild, texts: list[str]) -> None:
    benchmark.extra_info["items"] = len(texts)
    assert OF_EACH * FOUND_AT_LEAST <= benchmark(isbot.run, "isbot") <= OF_EACH * 1.05


@pytest.mark.benchmark(group="bot_rules", timer=cpu_clock_s)
def test_bot_rules_by_crawler_user_agents(benchmark: BenchmarkFixture, texts: list[str]) -> None:
    benchmark.extra_info["items"] = len(texts)

    def match() -> int:
        return sum(crawleruseragents.is_crawler(text) for text in texts)

    assert OF_EACH * 0.98 <= benchmark(match) <= OF_EACH * 1.05
