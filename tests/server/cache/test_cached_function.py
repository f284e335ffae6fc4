"""The decorator: keys, copies, life, topics, and what it refuses."""

from __future__ import annotations

import threading
from datetime import date
from typing import Any

import pytest

from server.cache import (
    AnswerNotJson,
    ArgumentNotJson,
    Cache,
    DeclarationInvalid,
    TopicInvalid,
    cache,
)
from server.config import Settings
from tests.server.cache.processes import Clock, Process, StartProcess, metric, pages_of
from tests.services.redis import raw_client


def test_an_answer_is_computed_once(settings: Settings, start_process: StartProcess) -> None:
    process = start_process(settings)
    hits, misses = metric("footfall_cache_hits_total", {"layer": "process"}), metric("footfall_cache_misses_total")
    first = pages_of(process, 5)
    assert first == [5, "7d", {"filters": None, "number": 1}]
    assert [pages_of(process, 5) for _ in range(3)] == [first] * 3
    assert process.computed == [(5, "7d", None)]
    assert metric("footfall_cache_hits_total", {"layer": "process"}) == hits + 3
    assert metric("footfall_cache_misses_total") == misses + 1
    assert metric("footfall_cache_bytes") == process.cache.bytes_held > 0


def test_another_process_finds_the_answer_in_redis(redis_settings: Settings, start_process: StartProcess) -> None:
    here, there = start_process(redis_settings), start_process(redis_settings)
    hits = metric("footfall_cache_hits_total", {"layer": "redis"})
    first = pages_of(here, 5)
    assert [pages_of(there, 5) for _ in range(3)] == [first] * 3
    assert there.computed == []
    assert metric("footfall_cache_hits_total", {"layer": "redis"}) == hits + 1, "then it is in the process"


def test_without_redis_processes_share_nothing(database_settings: Settings, start_process: StartProcess) -> None:
    here, there = start_process(database_settings), start_process(database_settings)
    pages_of(here, 5)
    pages_of(there, 5)
    assert len(here.computed) == len(there.computed) == 1


def test_equal_calls_have_one_key_however_they_are_written(settings: Settings, start_process: StartProcess) -> None:
    process = start_process(settings)
    pages_of(process, 5, "7d", {"b": 1, "a": [1, 2]})
    pages_of(process, site_id=5, filters={"a": (1, 2), "b": 1})
    assert len(process.computed) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((5, "7d"), (6, "7d")),
        ((5, "7d"), (5, "30d")),
        ((5, "7d", 1), (5, "7d", True)),
        ((5, "7d", 1), (5, "7d", "1")),
        ((5, "7d", 1), (5, "7d", 1.0)),
        ((5, "7d", None), (5, "7d", "null")),
        ((5, "7d", ["a", "b"]), (5, "7d", ["a,b"])),
        ((5, "7d", {}), (5, "7d", [])),
    ],
)
def test_different_calls_have_different_keys(
    redis_settings: Settings, start_process: StartProcess, one: tuple[Any, ...], other: tuple[Any, ...]
) -> None:
    process = start_process(redis_settings)
    pages_of(process, *one)
    pages_of(process, *other)
    assert process.computed == [(*one, None)[:3], (*other, None)[:3]]


def test_name_and_version_are_part_of_the_key(redis_settings: Settings, start_process: StartProcess) -> None:
    process = start_process(redis_settings)

    def same(owner: Process, number: int) -> str:
        owner.computed.append(number)
        return str(len(owner.computed))

    first, second = cache(ttl_s=60, name="a")(same), cache(ttl_s=60, name="a", version=2)(same)
    third, again = cache(ttl_s=60, name="b")(same), cache(ttl_s=60, name="a")(same)
    assert [function(process, 1) for function in (first, second, third, again)] == ["1", "2", "3", "1"]


def test_every_answer_is_a_copy(settings: Settings, start_process: StartProcess) -> None:
    process = start_process(settings)
    first = pages_of(process, 5)
    first[2]["filters"] = "changed by the caller"
    second = pages_of(process, 5)
    assert second[2]["filters"] is None
    second.clear()
    assert pages_of(process, 5) == [5, "7d", {"filters": None, "number": 1}]


def test_the_first_answer_looks_like_every_later_one(settings: Settings, start_process: StartProcess) -> None:
    @cache(ttl_s=60)
    def pair(_: Cache) -> Any:
        return (1, {"x": (2, 3)}, float("nan"))

    process = start_process(settings)
    assert pair(process.cache) == pair(process.cache) == [1, {"x": [2, 3]}, None]


@pytest.mark.parametrize("answer", [None, False, 0, "", [], {}])
def test_an_empty_answer_is_an_answer(settings: Settings, start_process: StartProcess, answer: Any) -> None:
    calls: list[int] = []

    @cache(ttl_s=60)
    def nothing(_: Cache) -> Any:
        calls.append(1)
        return answer

    process = start_process(settings)
    assert [nothing(process.cache), nothing(process.cache)] == [answer, answer]
    assert calls == [1]


def test_an_answer_ends(database_settings: Settings, clock: Clock, start_process: StartProcess) -> None:
    process = start_process(database_settings)
    pages_of(process, 5)
    for _ in range(8):
        clock.tick(7.4)
        process.cache.poll()
        pages_of(process, 5)
    assert len(process.computed) == 1, "59.2 s of 60 have passed"
    clock.tick(0.8)
    pages_of(process, 5)
    assert len(process.computed) == 2


def test_the_age_of_an_answer_counts_from_its_beginning(
    database_settings: Settings, clock: Clock, start_process: StartProcess
) -> None:
    calls: list[int] = []

    @cache(ttl_s=9)
    def slow(_: Cache, duration_s: float) -> int:
        calls.append(1)
        clock.tick(duration_s)
        return len(calls)

    process = start_process(database_settings)
    slow(process.cache, 8.0)
    process.cache.poll()
    slow(process.cache, 8.0)
    assert len(calls) == 1
    clock.tick(1.0)
    slow(process.cache, 8.0)
    assert len(calls) == 2, "nine seconds after it was begun"
    process.cache.poll()
    slow(process.cache, 9.0)
    slow(process.cache, 9.0)
    assert len(calls) == 4, "an answer that took its whole life is not kept"


def test_redis_lets_an_answer_end_too(redis_settings: Settings, clock: Clock, start_process: StartProcess) -> None:
    @cache(ttl_s=60)
    def slow(_: Cache) -> int:
        clock.tick(8.0)
        return 1

    slow(start_process(redis_settings).cache)
    with raw_client(redis_settings.redis_url) as client:
        lives = [client.pttl(key) for key in client.keys("footfall:cache:1:*")]
    assert len(lives) == 1
    assert 50_000 < lives[0] <= 52_000, "of the 60 s eight have passed"


def test_what_another_process_found_lives_no_longer_than_in_redis(
    redis_settings: Settings, clock: Clock, start_process: StartProcess
) -> None:
    here, there = start_process(redis_settings), start_process(redis_settings)
    pages_of(here, 5)
    with raw_client(redis_settings.redis_url) as client:
        key = client.keys("footfall:cache:1:*")[0]
        client.pexpire(key, 2000)
        pages_of(there, 5)
        client.delete(key)
    clock.tick(2.0)
    pages_of(there, 5)
    assert len(there.computed) == 1


def test_an_answer_can_be_invalidated_by_its_arguments(settings: Settings, start_process: StartProcess) -> None:
    process = start_process(settings)
    pages_of(process, 5)
    pages_of(process, 5, "30d")
    pages_of.invalidate(process, site_id=5, period="7d")
    pages_of(process, 5, "30d")
    assert len(process.computed) == 2
    pages_of(process, 5)
    assert len(process.computed) == 3


def test_a_topic_covers_every_answer_about_it(settings: Settings, start_process: StartProcess) -> None:
    process = start_process(settings)
    for site_id in (5, 6):
        for period in ("7d", "30d"):
            pages_of(process, site_id, period)
    process.cache.invalidate("site:5")
    for site_id in (5, 6):
        for period in ("7d", "30d"):
            pages_of(process, site_id, period)
    assert process.computed[4:] == [(5, "7d", None), (5, "30d", None)]


def test_the_cache_itself_may_be_the_first_parameter(settings: Settings, start_process: StartProcess) -> None:
    @cache(ttl_s=60)
    def where(owner: Cache) -> bool:
        """The function's own words."""
        return isinstance(owner, Cache)

    assert where(start_process(settings).cache) is True
    assert where.__doc__ == "The function's own words."


@pytest.mark.parametrize(
    "argument",
    [
        float("nan"),
        float("inf"),
        [1, {"x": float("-inf")}],
        date(2026, 11, 23),
        {1, 2},
        b"x",
        {1: 2},
        1 << 70,
        "\ud800",
    ],
)
def test_an_argument_that_json_has_not_is_refused(
    database_settings: Settings, start_process: StartProcess, argument: Any
) -> None:
    process = start_process(database_settings)
    with pytest.raises(ArgumentNotJson):
        pages_of(process, 5, filters=argument)
    assert process.computed == []


@pytest.mark.parametrize("site_id", [None, 1.5, True, [5]])
def test_a_topic_names_a_whole_number_or_a_text(
    database_settings: Settings, start_process: StartProcess, site_id: Any
) -> None:
    with pytest.raises(ArgumentNotJson, match="site_id"):
        pages_of(start_process(database_settings), site_id)


@pytest.mark.parametrize("answer", [{1, 2}, object(), date(2026, 11, 23), {1: 2}, b"x"])
def test_an_answer_that_json_has_not_is_refused_and_not_kept(
    settings: Settings, start_process: StartProcess, answer: Any
) -> None:
    answers = [answer, "plain"]

    @cache(ttl_s=60)
    def odd(_: Cache) -> Any:
        return answers.pop(0)

    process = start_process(settings)
    with pytest.raises(AnswerNotJson):
        odd(process.cache)
    assert odd(process.cache) == "plain"


@pytest.mark.parametrize("topic", ["", "x" * 201])
def test_a_topic_has_a_length(database_settings: Settings, start_process: StartProcess, topic: str) -> None:
    process = start_process(database_settings)
    with pytest.raises(TopicInvalid):
        process.cache.invalidate(topic)
    process.cache.invalidate("x" * 200)


def test_a_topic_that_grows_too_long_by_its_argument_is_refused(
    database_settings: Settings, start_process: StartProcess
) -> None:
    @cache(ttl_s=60, topics=("page:{path}",))
    def page(_: Cache, path: str) -> int:
        return 1

    process = start_process(database_settings)
    with pytest.raises(TopicInvalid):
        page(process.cache, "x" * 200)


async def _coroutine(_: Cache) -> int:
    return 1


def _plain(_: Cache, site_id: int) -> int:
    return site_id


@pytest.mark.parametrize(
    ("function", "given"),
    [
        (_coroutine, {"ttl_s": 60}),
        (_plain, {"ttl_s": 0}),
        (_plain, {"ttl_s": -1}),
        (_plain, {"ttl_s": float("nan")}),
        (_plain, {"ttl_s": 24 * 3600 + 1}),
        (_plain, {"ttl_s": 60, "topics": ("site:{site}",)}),
        (_plain, {"ttl_s": 60, "topics": ("site:{site_id.real}",)}),
        (_plain, {"ttl_s": 60, "topics": ("site:{site_id!r}",)}),
        (_plain, {"ttl_s": 60, "topics": ("site:{site_id:03}",)}),
        (_plain, {"ttl_s": 60, "topics": ("site:{site_id",)}),
        (_plain, {"ttl_s": 60, "topics": ("site:{}",)}),
        (_plain, {"ttl_s": 60, "topics": ("cache:{_}",)}),
        (lambda: 1, {"ttl_s": 60}),
    ],
)
def test_a_function_that_cannot_be_remembered_is_refused_at_once(function: Any, given: dict[str, Any]) -> None:
    with pytest.raises(DeclarationInvalid):
        cache(**given)(function)


def test_a_day_is_the_longest_life() -> None:
    assert cache(ttl_s=24 * 3600)(_plain) is not None


def test_braces_can_be_part_of_a_topic(database_settings: Settings, start_process: StartProcess) -> None:
    @cache(ttl_s=60, topics=("{{site}}:{site_id}",))
    def answer(process: Process, site_id: int) -> int:
        process.computed.append(site_id)
        return site_id

    process = start_process(database_settings)
    answer(process, 5)
    process.cache.invalidate("{site}:5")
    answer(process, 5)
    assert len(process.computed) == 2


def test_the_least_recently_used_answers_make_room(database_settings: Settings, start_process: StartProcess) -> None:
    @cache(ttl_s=60)
    def text(process: Process, number: int, length: int = 1000) -> str:
        process.computed.append(number)
        return "x" * length

    room_bytes = 20_000
    process = start_process(database_settings.model_copy(update={"cache_max_bytes": room_bytes}))
    for number in range(100):
        text(process, number)
        text(process, 0)
        assert process.cache.bytes_held <= room_bytes
    assert process.computed.count(0) == 1, "what is used all the time stays"
    text(process, 99)
    assert process.computed.count(99) == 1
    text(process, 50)
    assert process.computed.count(50) == 2
    process.computed.clear()
    text(process, 0, room_bytes)
    text(process, 0, room_bytes)
    assert process.computed == [0, 0], "an answer larger than the whole cache is not kept"
    text(process, 99)
    assert process.computed == [0, 0], "and drives nothing out"


def test_a_cache_without_room_keeps_nothing(database_settings: Settings, start_process: StartProcess) -> None:
    process = start_process(database_settings.model_copy(update={"cache_max_bytes": 0}))
    pages_of(process, 5)
    pages_of(process, 5)
    assert len(process.computed) == 2
    assert process.cache.bytes_held == 0


def test_many_threads_and_small_room_keep_the_books_right(
    database_settings: Settings, start_process: StartProcess
) -> None:
    @cache(ttl_s=60, topics=("number:{number}",))
    def text(process: Process, number: int) -> str:
        return str(number) * (number * 10)

    process = start_process(database_settings.model_copy(update={"cache_max_bytes": 30_000}))
    wrong: list[object] = []

    def ask(seed: int) -> None:
        for step in range(300):
            number = (seed * 7 + step * 13) % 60
            if text(process, number) != str(number) * (number * 10) or process.cache.bytes_held > 30_000:
                wrong.append(number)
            if step % 100 == 99:
                process.cache.invalidate(f"number:{number}")

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert wrong == []
