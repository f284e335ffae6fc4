"""Debian's Chromium through chromedriver, for what Playwright's connection switches off: prerendering, tabs that are
really hidden, the back/forward cache. Speaks WebDriver (https://www.w3.org/TR/webdriver2/) and nothing else.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

from server.loopback_port import free_port
from tests.browser.chromium import ARGUMENTS, PERSON
from tests.services import program

START_TIMEOUT_S = 60.0
STEP_TIMEOUT_S = 30.0

BLANK = "about:blank"

# The key under which WebDriver names an element.
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class WebDriverError(RuntimeError):
    """A command failed; the message is chromedriver's."""


class Tab:
    """A browser with one window, and its tab that is at the front."""

    def __init__(self, port: int, session: str) -> None:
        self._port = port
        self._base = f"/session/{session}"

    def ask(self, method: str, path: str, **body: Any) -> Any:
        """One command. Raises `WebDriverError`."""
        return _ask(self._port, method, self._base + path, body if method == "POST" else None)

    def open(self, url: str) -> None:
        """Go there and wait for the load."""
        self.ask("POST", "/url", url=url)

    def run(self, script: str) -> Any:
        """What a function body returns, in the page."""
        return self.ask("POST", "/execute/sync", script=script, args=[])

    def click(self, selector: str) -> None:
        """A person's click, in the middle of an element."""
        element = self.ask("POST", "/element", using="css selector", value=selector)[_ELEMENT]
        self.ask("POST", f"/element/{element}/click")

    def click_with(self, selector: str, button: int) -> None:
        """The same with another button: 1 is the middle one, 2 the right one."""
        element = self.ask("POST", "/element", using="css selector", value=selector)
        moved = {"type": "pointerMove", "duration": 0, "x": 0, "y": 0, "origin": element}
        steps = [moved, {"type": "pointerDown", "button": button}, {"type": "pointerUp", "button": button}]
        self.ask("POST", "/actions", actions=[{"type": "pointer", "id": "mouse", "actions": steps}])

    def wait(self, script: str) -> Any:
        """What a function body returns, once that is true of the page, also over navigations."""
        deadline_s = time.monotonic() + STEP_TIMEOUT_S
        while True:
            found = None
            # A page that is on its way out cannot be asked.
            with contextlib.suppress(WebDriverError):
                found = self.run(script)
            if found:
                return found
            assert time.monotonic() < deadline_s, f"never true: {script}"
            time.sleep(0.03)

    @contextlib.contextmanager
    def in_the_background(self) -> Iterator[None]:
        """Another tab is at the front, inside the `with`."""
        here = self.ask("GET", "/window")
        other = self.ask("POST", "/window/new", type="tab")["handle"]
        self.ask("POST", "/window", handle=other)
        yield
        self.ask("DELETE", "/window")
        self.ask("POST", "/window", handle=here)

    @contextlib.contextmanager
    def minimized(self) -> Iterator[None]:
        """The window is minimized, inside the `with`."""
        self.ask("POST", "/window/minimize")
        yield
        self.ask("POST", "/window/rect", width=1200, height=800)


@contextlib.contextmanager
def driven_chromium() -> Iterator[Tab]:
    """A browser that does not say that it is driven."""
    port = free_port()
    driver = subprocess.Popen([str(program("chromedriver")), f"--port={port}"], stdout=subprocess.DEVNULL)
    try:
        _wait_until(lambda: bool(_ask(port, "GET", "/status", None)["ready"]))
        options = {
            "binary": str(program("chromium")),
            "args": [
                "--headless=new",
                "--window-size=1200,800",
                "--disable-blink-features=AutomationControlled",
                f"--user-agent={PERSON}",
                *ARGUMENTS,
            ],
            "excludeSwitches": ["enable-automation", "disable-back-forward-cache"],
        }
        made = _ask(port, "POST", "/session", {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}})
        tab = Tab(port, made["sessionId"])
        try:
            yield tab
        finally:
            tab.ask("DELETE", "")
    finally:
        driver.terminate()
        driver.wait(10)


def _ask(port: int, method: str, path: str, body: dict[str, Any] | None) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, None if body is None else json.dumps(body).encode())
        answered = connection.getresponse()
        answer = json.loads(answered.read())["value"]
    finally:
        connection.close()
    if answered.status != 200:
        raise WebDriverError(f"{method} {path.rpartition('/')[2]}: {answer['message']}")
    return answer


def _wait_until(is_ready: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while True:
        with contextlib.suppress(OSError):
            if is_ready():
                return
        assert time.monotonic() < deadline_s, "chromedriver did not start"
        time.sleep(0.05)
