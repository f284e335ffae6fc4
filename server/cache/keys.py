"""What an answer is known by: the hash of its function and arguments, and the topics that make it out of date.

Key: SHA-256 in hex over the function's name, its version and the canonical JSON of its arguments (sorted keys, no
spaces). Who may choose an argument must not be able to find two calls with one key: hence no shorter hash.

A topic is a short text such as `site:5`. It is compared as a whole.
"""

from __future__ import annotations

import hashlib
import math
from string import Formatter

import orjson

# The column `cache_invalidations.topic`.
MAX_TOPIC_CHARACTERS = 200

# Only what JSON has itself: orjson would turn a dataclass or a date into something that does not come back.
_ONLY_JSON = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME


class ArgumentNotJson(TypeError):
    """An argument that the key is made of is not plain JSON, or not a number or text where a topic names it."""


class AnswerNotJson(TypeError):
    """The answer of a remembered function is not plain JSON. It was computed, and nothing was kept."""


class TopicInvalid(ValueError):
    """A topic is empty or longer than `MAX_TOPIC_CHARACTERS`."""


class DeclarationInvalid(TypeError):
    """A function cannot be remembered as its decorator says; raised when the module is imported."""


def encode_answer(value: object) -> bytes:
    """The bytes that are kept. Raises `AnswerNotJson`."""
    try:
        return orjson.dumps(value, option=_ONLY_JSON)
    except orjson.JSONEncodeError as error:
        raise AnswerNotJson(str(error)) from error


def answer_key(name: str, version: int, arguments: dict[str, object]) -> str:
    """The key of a call, 64 hex digits. `arguments` are all of them, by parameter. Raises `ArgumentNotJson`."""
    for parameter, value in arguments.items():
        _check_json(parameter, value)
    try:
        encoded = orjson.dumps([name, version, arguments], option=_ONLY_JSON | orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        raise ArgumentNotJson(f"{name}: {error}") from error
    return hashlib.sha256(encoded).hexdigest()


def _check_json(parameter: str, value: object) -> None:
    """orjson writes a number that is none, such as NaN, as null: two calls would have one key."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ArgumentNotJson(f"{parameter} is {value}, which JSON has not")
    if isinstance(value, dict):
        for inner in value.values():
            _check_json(parameter, inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check_json(parameter, inner)
    elif value is not None and not isinstance(value, str | int | float):
        raise ArgumentNotJson(f"{parameter} is a {type(value).__name__}, which JSON has not")


def checked_topic(topic: str) -> str:
    """The topic as given. Raises `TopicInvalid`."""
    if not topic or len(topic) > MAX_TOPIC_CHARACTERS:
        raise TopicInvalid(f"a topic has 1 to {MAX_TOPIC_CHARACTERS} characters, not {len(topic)}")
    return topic


def topic_parameters(template: str) -> list[str]:
    """The parameters that a topic such as `site:{site_id}` names. Raises `DeclarationInvalid` for anything fancier."""
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise DeclarationInvalid(f"topic {template!r}: {error}") from error
    names = []
    for _, name, form, conversion in parts:
        if name is None:
            continue
        if not name.isidentifier() or form or conversion:
            raise DeclarationInvalid(f"topic {template!r}: expected the name of a parameter in braces, not {name!r}")
        names.append(name)
    return names


def topic_of(template: str, arguments: dict[str, object]) -> str:
    """The topic of one call. Raises `ArgumentNotJson` for an argument that is no number or text, and `TopicInvalid`."""
    for name in topic_parameters(template):
        value = arguments[name]
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise ArgumentNotJson(f"{name} is a {type(value).__name__}: a topic names a whole number or a text")
    return checked_topic(template.format(**arguments))
