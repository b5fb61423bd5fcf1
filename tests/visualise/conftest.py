"""A headless Chromium, driven by its own protocol over a pipe: no library, no port."""

import fcntl
import json
import os
import shutil
import subprocess
import time
from base64 import b64decode
from pathlib import Path

import pytest

QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
]

DRAWN = "document.querySelector('#picture > *') !== null"


class Browser:
    """One tab; `events` holds what it has reported so far."""

    def __init__(self, program: str, profile: Path):
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        high = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (to_browser, from_browser)]

        def as_three_and_four():
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        self._process = subprocess.Popen(
            [program, *QUIET, f"--user-data-dir={profile}", "about:blank"],
            preexec_fn=as_three_and_four,
            close_fds=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for end in (to_browser, from_browser, *high):
            os.close(end)
        self._pending = b""
        self._asked = 0
        self._session = None
        self.events = []
        tab = next(one for one in self.call("Target.getTargets")["targetInfos"] if one["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=tab["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **arguments) -> dict:
        """The answer to one command; events which come before it are kept."""
        self._asked += 1
        message = {"id": self._asked, "method": method, "params": arguments}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._asked:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def _next(self) -> dict:
        while b"\0" not in self._pending:
            part = os.read(self._read, 1 << 20)
            if not part:
                raise RuntimeError("the browser has ended")
            self._pending += part
        message, self._pending = self._pending.split(b"\0", 1)
        answer = json.loads(message)
        if "id" not in answer:
            self.events.append(answer)
        return answer

    def open(
        self,
        path: Path | str,
        *,
        width: int = 1280,
        height: int = 900,
        scheme: str = "light",
        anchor: str = "",
        ready: str = DRAWN,
    ):
        """Load a file afresh in a window of that size, and wait until its picture is drawn, or `ready` holds."""
        self.events.clear()
        self.call("Page.navigate", url="about:blank")
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Page.navigate", url=Path(path).resolve().as_uri() + anchor)
        self.until(ready)

    def ask(self, expression: str):
        """What a JavaScript expression is worth in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"]["description"])
        return answer["result"].get("value")

    def until(self, expression: str, seconds: float = 20):
        """Wait until a JavaScript expression holds."""
        end = time.monotonic() + seconds
        while not self.ask(expression):
            if time.monotonic() > end:
                raise TimeoutError(f"not within {seconds} s: {expression}")
            time.sleep(0.02)

    def box(self, selector: str) -> tuple[float, float, float, float]:
        """Left, top, width, height of an element in the window, scrolled into view first."""
        find = f"document.querySelector({json.dumps(selector)})"
        self.ask(f"{find}.scrollIntoView({{block: 'nearest'}})")
        return tuple(self.ask(f"(b => [b.left, b.top, b.width, b.height])({find}.getBoundingClientRect())"))

    def point(self, x: float, y: float):
        """Move the mouse there."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def click(self, selector: str):
        """Click the middle of an element."""
        left, top, width, height = self.box(selector)
        where = {"x": left + width / 2, "y": top + height / 2, "button": "left", "clickCount": 1}
        self.point(where["x"], where["y"])
        self.call("Input.dispatchMouseEvent", type="mousePressed", **where)
        self.call("Input.dispatchMouseEvent", type="mouseReleased", **where)

    def press(self, *keys: str):
        """Press keys one after another, each by its name."""
        codes = {"Enter": 13, "Tab": 9, "Backspace": 8, "Escape": 27, "Home": 36, "End": 35}
        codes |= {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
        for key in keys:
            names = {"key": key, "code": key, "windowsVirtualKeyCode": codes[key]}
            text = {"text": "\r"} if key == "Enter" else {}
            self.call("Input.dispatchKeyEvent", type="keyDown", **names, **text)
            self.call("Input.dispatchKeyEvent", type="keyUp", **names)

    def picture(self, path: Path | str, *, whole: bool = False):
        """Save what is on the screen, or the whole page, as PNG."""
        Path(path).write_bytes(b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"]))

    def complaints(self) -> list[str]:
        """Errors and warnings which the page has caused since it was opened."""
        self.ask("0")
        found = []
        for event in self.events:
            what = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                found.append(what["exceptionDetails"]["text"])
            if event["method"] == "Log.entryAdded":
                found.append(what["entry"]["text"])
            if event["method"] == "Runtime.consoleAPICalled" and what["type"] in ("error", "warning", "assert"):
                found.append(str(what["args"]))
        return found

    def requests(self) -> list[str]:
        """Addresses which the page has asked for since it was opened, its own file among them."""
        self.ask("0")
        return [
            event["params"]["request"]["url"]
            for event in self.events
            if event["method"] == "Network.requestWillBeSent" and event["params"]["request"]["url"] != "about:blank"
        ]

    def close(self):
        """End the browser."""
        os.close(self._write)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._read)


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """A headless Chromium; the test is skipped where there is none."""
    program = next(
        filter(None, map(shutil.which, ["/usr/bin/chromium", "chromium", "chromium-browser", "google-chrome"])), None
    )
    if program is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    browser = Browser(program, tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()
