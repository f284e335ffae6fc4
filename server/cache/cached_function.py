"""The decorator `cache`: a function whose answers are remembered."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Concatenate, Generic, ParamSpec, Protocol, TypeVar, cast

import orjson
from sqlalchemy.orm import Session

from server.cache.invalidations import MAX_TTL_S
from server.cache.keys import DeclarationInvalid, answer_key, encode_answer, topic_of, topic_parameters
from server.cache.two_layers import Cache


class HasCache(Protocol):
    """Something that carries the process's cache, such as `Services`."""

    @property
    def cache(self) -> Cache:
        """The cache."""


Owner = TypeVar("Owner", bound=Cache | HasCache)
P = ParamSpec("P")
R = TypeVar("R")


class CachedFunction(Generic[Owner, P, R]):
    """A function with remembered answers. It is called like the function; `__wrapped__` is the function itself."""

    def __init__(
        self,
        function: Callable[Concatenate[Owner, P], R],
        *,
        ttl_s: float,
        name: str,
        version: int,
        topics: tuple[str, ...],
    ) -> None:
        if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
            raise DeclarationInvalid("only plain functions are remembered: the cache blocks")
        self._name = name or f"{function.__module__}.{function.__qualname__}"
        if not 0 < ttl_s <= MAX_TTL_S:
            raise DeclarationInvalid(f"{self._name}: ttl_s={ttl_s} is not allowed: expected up to {MAX_TTL_S:.0f}")
        self._signature = inspect.signature(function)
        parameters = list(self._signature.parameters)
        if not parameters:
            raise DeclarationInvalid(f"{self._name}: the first parameter is to be the cache or have it")
        for topic in topics:
            unknown = set(topic_parameters(topic)) - set(parameters[1:])
            if unknown:
                raise DeclarationInvalid(f"{self._name}: topic {topic!r} names no parameter: {', '.join(unknown)}")
        self._owner_name = parameters[0]
        self._function = function
        self._ttl_s = ttl_s
        self._version = version
        self._topics = topics
        functools.update_wrapper(self, function)

    def __call__(self, owner: Owner, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """The answer, remembered or computed; always as it comes back from JSON.

        Raises what the function raises, `ArgumentNotJson` and `AnswerNotJson`.
        """
        key, topics = self._key_and_topics(owner, *args, **kwargs)

        def compute() -> bytes:
            return encode_answer(self._function(owner, *args, **kwargs))

        return cast(R, orjson.loads(_cache_of(owner).answer(key, topics, self._ttl_s, compute)))

    def invalidate(self, owner: Owner, /, *args: P.args, **kwargs: P.kwargs) -> None:
        """The answer to these arguments is out of date. Writes at once; raises what the app database raises."""
        _cache_of(owner).invalidate(self._key_and_topics(owner, *args, **kwargs)[1][0])

    def invalidate_in(self, session: Session, owner: Owner, /, *args: P.args, **kwargs: P.kwargs) -> None:
        """The same as part of the session's transaction."""
        _cache_of(owner).invalidate(self._key_and_topics(owner, *args, **kwargs)[1][0], session)

    def _key_and_topics(self, owner: Owner, /, *args: P.args, **kwargs: P.kwargs) -> tuple[str, list[str]]:
        bound = self._signature.bind(owner, *args, **kwargs)
        bound.apply_defaults()
        arguments = {name: value for name, value in bound.arguments.items() if name != self._owner_name}
        key = answer_key(self._name, self._version, arguments)
        return key, [f"key:{key}", *(topic_of(topic, arguments) for topic in self._topics)]


def cache(
    *, ttl_s: float, name: str = "", version: int = 1, topics: tuple[str, ...] = ()
) -> Callable[[Callable[Concatenate[Owner, P], R]], CachedFunction[Owner, P, R]]:
    """Remember a function's answers for `ttl_s` seconds, at most a day, counted from when an answer was begun.

    The function's first parameter is the `Cache`, or has it as `.cache`; it is no part of the key. All other arguments
    are, so all of them are plain JSON, and whatever the answer depends on and no topic stands for must be among them.
    The answer is plain JSON too: tuples come back as lists, and a float that is no number as None. The function must
    read what it answers inside the call, not from a transaction that was begun before it.

    `topics`: what makes an answer out of date, with parameters in braces: `("site:{site_id}",)`.
    `name`: what stays when the function moves; unless given, its module and name. `version`: raise it when the answer
    means something else, since processes of both versions share Redis during a restart.

    Raises `DeclarationInvalid`.
    """

    def decorate(function: Callable[Concatenate[Owner, P], R]) -> CachedFunction[Owner, P, R]:
        return CachedFunction(function, ttl_s=ttl_s, name=name, version=version, topics=topics)

    return decorate


def _cache_of(owner: Cache | HasCache) -> Cache:
    return owner if isinstance(owner, Cache) else owner.cache
