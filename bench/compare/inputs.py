"""What both builds are given: the same requests and agents, and what each commit makes of its own format."""

from __future__ import annotations

import itertools
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench.compare.builds import Build, BuildError
from bench.traffic import Hit, TrafficMix, bots, browsers, generate_hits, http_request
from bench.wrk import LENGTH_DIGITS

SITE = "example.com"
HITS = 12_800
AGENTS = 4_000
BOT_SHARE = 0.05

# Bots whose hits are sent. The cache of agents forgets a new one when another comes to the same place before it is seen
# again; places are random in each process, and a bot out of the cache costs as much as fifty hits. A few come often.
BOTS = 16

# Under valgrind a hit costs fifty times the time, and needs no repetition.
COUNTED_HITS = 3_200
COUNTED_AGENTS = 1_000


def hits_of_few_bots() -> Iterator[Hit]:
    """More traffic than any run needs, the same in each."""
    sent: set[str] = set()
    for hit in generate_hits(10 * HITS, seed=20_261_130, mix=TrafficMix(sites=(SITE,))):
        if hit.agent.is_bot:
            if len(sent) < BOTS:
                sent.add(hit.agent.text)
            if hit.agent.text not in sent:
                continue
        yield hit


def write_inputs(folder: Path, *, counted: bool) -> None:
    """`requests.bin` and `agents.txt`, the same ones in every run."""
    count = COUNTED_HITS if counted else HITS
    with (folder / "requests.bin").open("wb") as file:
        for hit in itertools.islice(hits_of_few_bots(), count):
            request = http_request(hit, host="127.0.0.1:8000")
            file.write(f"{len(request):0{LENGTH_DIGITS}d}".encode() + request)
    drawn = random.Random(11)
    texts = []
    for _ in range(COUNTED_AGENTS if counted else AGENTS):
        known = bots() if drawn.random() < BOT_SHARE else browsers()
        texts.append(drawn.choices(known.agents, cum_weights=known.cumulative)[0].text)
    (folder / "agents.txt").write_text("".join(f"{text}\n" for text in texts))


def prepared(build: Build, folder: Path, *, counted: bool) -> Path:
    """A folder of inputs for this build. Raises BuildError when the commit cannot make its part."""
    target = folder / f"inputs-{build.name}"
    target.mkdir()
    write_inputs(target, counted=counted)
    done = subprocess.run(
        build.probe("prepare", target),
        env=build.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BuildError(f"{build.name} ({build.commit[:12]}) cannot be measured:\n{done.stderr[-2000:]}")
    return target
