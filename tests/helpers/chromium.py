"""A real browser for tests: headless Chromium, driven through its debugging pipe with the standard library alone."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WHY_NOT = "chromium: not found, so the page is not opened in a browser (Debian: apt-get install chromium)"
LIMIT_S = 120.0


class Browser:
    """One page of a fresh browser; `console` collects what the page complains of."""

    def __init__(self, profile: Path) -> None:
        """Start the browser; it keeps its files in `profile`."""
        read_end, self._write = os.pipe()
        self._read, write_end = os.pipe()
        command = [str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe",
                   "--disable-dev-shm-usage", "--no-first-run", f"--user-data-dir={profile}"]  # fmt: skip

        def as_three_and_four() -> None:
            kept = [os.dup(fd) for fd in (read_end, write_end)]
            os.dup2(kept[0], 3)
            os.dup2(kept[1], 4)

        self._process = subprocess.Popen(
            command, preexec_fn=as_three_and_four, close_fds=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(read_end)
        os.close(write_end)
        self._buffer, self._number = b"", 0
        self.console: list[str] = []
        target = self._call("Target.createTarget", {"url": "about:blank"})["targetId"]
        self._session = self._call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait(20)
        os.close(self._read)
        os.close(self._write)

    def open(self, page: Path, width: int, dark: bool, height: int = 900) -> None:
        """Show a file at this width in this theme, and wait until its charts are drawn."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", metrics)
        theme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", {"features": theme})
        self.call("Page.navigate", {"url": page.resolve().as_uri()})
        end = time.monotonic() + LIMIT_S
        while not self.ask("location.protocol == 'file:' && document.body?.dataset.drawn == 'yes'"):
            assert time.monotonic() < end, f"{page}: charts not drawn within {LIMIT_S:.0f} s; {self.console}"
            time.sleep(0.2)

    def ask(self, expression: str) -> Any:
        """Evaluate JavaScript in the page, and return its value."""
        found = self.call("Runtime.evaluate", {"expression": expression, "returnByValue": True})
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def point_at(self, selector: str) -> str:
        """Move the mouse onto the first element that fits, and return the words of the tooltip that appears."""
        found = f"document.querySelector({json.dumps(selector)})"
        self.ask(f"{found}.scrollIntoView({{block: 'center'}})")
        x, y = self.ask(f"(b => [b.x + b.width / 2, b.y + b.height / 2])({found}.getBoundingClientRect())")
        for step in (3, 0):  # a pointer that jumps is not seen moving
            self.call("Input.dispatchMouseEvent", {"type": "mouseMoved", "x": x + step, "y": y})
        end = time.monotonic() + 10
        while not self.ask("document.querySelector('#vg-tooltip-element.visible')?.textContent"):
            assert time.monotonic() < end, f"no tooltip at {selector}"
            time.sleep(0.1)
        return str(self.ask("document.querySelector('#vg-tooltip-element').textContent"))

    def screenshot(self, path: Path) -> None:
        """Take a picture of the whole page."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        data = self.call("Page.captureScreenshot", {"clip": clip, "captureBeyondViewport": True})["data"]
        path.write_bytes(base64.b64decode(data))

    def call(self, method: str, values: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send a command of the DevTools protocol to the page, and return its result."""
        return self._call(method, values or {}, self._session)

    def _call(self, method: str, values: dict[str, Any], session: str | None = None) -> dict[str, Any]:
        self._number += 1
        request: dict[str, Any] = {"id": self._number, "method": method, "params": values}
        if session:
            request["sessionId"] = session
        os.write(self._write, json.dumps(request).encode() + b"\0")
        while True:
            message = self._next()
            if message.get("id") == self._number:
                assert "error" not in message, f"{method}: {message['error']}"
                result: dict[str, Any] = message["result"]
                return result
            self._note(message)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], LIMIT_S)
            assert ready, f"chromium: silent for {LIMIT_S:.0f} s"
            self._buffer += os.read(self._read, 1 << 20)
        line, self._buffer = self._buffer.split(b"\0", 1)
        message: dict[str, Any] = json.loads(line)
        return message

    def _note(self, message: dict[str, Any]) -> None:
        """Collect complaints, and every request for anything but the page itself."""
        method, values = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.console.append(json.dumps(values["exceptionDetails"])[:400])
        elif method == "Log.entryAdded" and values["entry"]["level"] in ("error", "warning"):
            self.console.append(values["entry"]["text"])
        elif method == "Runtime.consoleAPICalled" and values["type"] in ("error", "warning"):
            self.console.append(json.dumps(values["args"])[:400])
        elif method == "Network.requestWillBeSent" and not values["request"]["url"].startswith(("file:", "data:")):
            self.console.append(f"fetched {values['request']['url'][:200]}")
