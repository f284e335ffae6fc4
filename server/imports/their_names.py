"""What others call a browser, a system, a device, a country, and what we call it: the names of ua-parser's rules.

A name that is not listed stays as it is: it is somebody's figure.
"""

from __future__ import annotations

from functools import cache

from babel import Locale

# Umami keeps what detect-browser says.
_UMAMI_BROWSERS = {
    "android": "Android",
    "aol": "AOL",
    "bb10": "BlackBerry WebKit",
    "chrome": "Chrome",
    "chromium-webview": "Chrome Mobile WebView",
    "crios": "Chrome Mobile iOS",
    "edge": "Edge",
    "edge-chromium": "Edge",
    "edge-ios": "Edge Mobile",
    "facebook": "Facebook",
    "firefox": "Firefox",
    "fxios": "Firefox iOS",
    "ie": "IE",
    "instagram": "Instagram",
    "ios": "Mobile Safari",
    "ios-webview": "Mobile Safari UI/WKWebView",
    "kakaotalk": "KakaoTalk",
    "miui": "MiuiBrowser",
    "opera": "Opera",
    "opera-mini": "Opera Mini",
    "safari": "Safari",
    "samsung": "Samsung Internet",
    "silk": "Amazon Silk",
    "yandexbrowser": "Yandex Browser",
}

# Plausible's and Google Analytics' names, where they differ from ours.
_BROWSERS = {
    "android webview": "Chrome Mobile WebView",
    "internet explorer": "IE",
    "microsoft edge": "Edge",
    "safari (in-app)": "Mobile Safari UI/WKWebView",
    "samsung browser": "Samsung Internet",
    "yandex": "Yandex Browser",
}

_SYSTEMS = {
    "android os": "Android",
    "chromeos": "Chrome OS",
    "gnu/linux": "Linux",
    "mac": "Mac OS X",
    "mac os": "Mac OS X",
    "macintosh": "Mac OS X",
    "macos": "Mac OS X",
    "windows phone": "Windows Phone",
}

_DEVICES = {
    "desktop": "desktop",
    "laptop": "desktop",
    "mobile": "mobile",
    "phone": "mobile",
    "tablet": "tablet",
    "smart tv": "tv",
    "smarttv": "tv",
    "tv": "tv",
    "console": "console",
    "wearable": "wearable",
}

# The windows that reduced agents no longer tell apart: see the core's agents.
_WINDOWS_10 = "10 or 11"

# What stands for nothing in exports.
NOTHING = frozenset(("", "(not set)", "(not provided)", "(none)", "(other)", "unknown", "\\n", "null", "none"))


def browser_of(name: str, device: str = "") -> str:
    """Our name of a browser. `device` is ours: Chrome on a phone is another browser to us."""
    lowered = name.strip().lower()
    if lowered in ("chrome", "firefox") and device in ("mobile", "tablet"):
        return f"{_UMAMI_BROWSERS[lowered]} Mobile"
    return _UMAMI_BROWSERS.get(lowered) or _BROWSERS.get(lowered) or name.strip()


def system_of(name: str) -> tuple[str, str]:
    """Our name of a system, and its version where the name holds it."""
    shown = name.strip()
    if shown.lower().startswith("windows ") and shown.lower() not in _SYSTEMS:
        version = shown[len("windows ") :]
        return "Windows", _WINDOWS_10 if version in ("10", "11") else version
    return _SYSTEMS.get(shown.lower(), shown), ""


def device_of(name: str) -> str:
    """Our name of a class of devices; empty when it is none of ours."""
    return _DEVICES.get(name.strip().lower(), "")


def country_of(name: str) -> str:
    """The ISO 3166-1 code of a country by its code or its English name; empty when it is neither."""
    text = name.strip()
    if len(text) == 2 and text.isascii() and text.isalpha():
        return text.upper()
    return _countries().get(_plain(text), "")


@cache
def _countries() -> dict[str, str]:
    """By their English names in CLDR, which Google Analytics uses, and some that it used before."""
    named = {_plain(name): code for code, name in Locale("en").territories.items() if len(code) == 2}
    earlier = {
        "turkey": "TR",
        "swaziland": "SZ",
        "macedonia": "MK",
        "czech republic": "CZ",
        "hong kong": "HK",
        "macau": "MO",
        "myanmar": "MM",
        "palestine": "PS",
        "cape verde": "CV",
    }
    return {**earlier, **named}


def _plain(name: str) -> str:
    """Without what is written now one way, now another."""
    return name.lower().replace("\u2019", "'").replace(" & ", " and ").replace(" - ", " ").strip()


def or_nothing(text: str) -> str:
    """The text, or nothing where it stands for nothing."""
    stripped = text.strip()
    return "" if stripped.lower() in NOTHING else stripped
