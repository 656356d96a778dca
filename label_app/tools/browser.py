"""Chromium without a screen, driven by chromedriver over the W3C WebDriver protocol, which is plain JSON over HTTP."""

import base64
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import requests
from ports import free_port

SWITCHES = (
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    # OHIF draws with WebGL, here in software
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # key of an element in answers, fixed by the protocol


def missing_programs() -> list[str]:
    """What a browser needs and this computer does not have (Debian packages chromium, chromium-driver)."""
    return [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]


class Browser:
    """One browser window; use it with `with`.

    Args:
        size: of the window in pixels.
    """

    def __init__(self, size: tuple[int, int] = (1400, 900)):
        self._size = size

    def __enter__(self) -> "Browser":
        self._profile = tempfile.TemporaryDirectory()
        port = free_port()
        self._driver = subprocess.Popen(
            ["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._http = requests.Session()
        self._http.trust_env = False
        base = f"http://127.0.0.1:{port}"
        try:
            wait_for(lambda: self._answers(base), 30, "chromedriver")
            arguments = [
                *SWITCHES,
                f"--user-data-dir={self._profile.name}",
                f"--window-size={self._size[0]},{self._size[1]}",
            ]
            wanted = {
                "browserName": "chrome",
                "goog:chromeOptions": {"args": arguments},
                "goog:loggingPrefs": {"browser": "ALL"},
                "timeouts": {"script": 120_000, "pageLoad": 120_000},
            }
            answer = self._http.post(f"{base}/session", json={"capabilities": {"alwaysMatch": wanted}}, timeout=120)
            self._url = f"{base}/session/{_value(answer)['sessionId']}"
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._http.delete(self._url, timeout=30)
        finally:
            self._end()

    def open(self, address: str) -> None:
        """Go to an address and wait until the page has loaded."""
        self._post("url", url=address)

    @property
    def address(self) -> str:
        """Address of the page."""
        return _value(self._http.get(f"{self._url}/url", timeout=60))

    def run(self, script: str, *arguments: Any) -> Any:
        """Run JavaScript (the body of a function) in the page; a promise is waited for."""
        return self._post("execute/sync", script=script, args=list(arguments))

    def wait(self, script: str, seconds: float, what: str, *arguments: Any) -> Any:
        """Run JavaScript until it returns something true.

        Raises:
            TimeoutError: it did not in time; the text holds the page's last messages.
        """
        try:
            return wait_for(lambda: self.run(script, *arguments), seconds, what)
        except TimeoutError as error:
            raise TimeoutError(f"{error}; the page says: {self.messages()[-8:]}") from None

    def click(self, selector: str) -> None:
        """Click an element as a user does."""
        self._post(f"element/{self._find(selector)}/click")

    def click_at(self, x: int, y: int) -> None:
        """Press and release the mouse at a place of the window, in pixels from its upper left corner."""
        steps = [
            {"type": "pointerMove", "duration": 50, "x": x, "y": y},
            {"type": "pointerDown", "button": 0},
            {"type": "pause", "duration": 80},
            {"type": "pointerUp", "button": 0},
        ]
        mouse = {"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": steps}
        self._post("actions", actions=[mouse])

    def type(self, selector: str, text: str) -> None:
        """Type into a field."""
        self._post(f"element/{self._find(selector)}/value", text=text)

    def picture(self, path: Path) -> None:
        """Write the window as PNG."""
        path.write_bytes(base64.b64decode(_value(self._http.get(f"{self._url}/screenshot", timeout=120))))

    def messages(self) -> list[str]:
        """What the page wrote to the console since the last call."""
        entries = self._post("se/log", type="browser")
        return [f"{entry['level']}: {entry['message']}"[:400] for entry in entries]

    def _find(self, selector: str) -> str:
        return self._post("element", using="css selector", value=selector)[ELEMENT]

    def _post(self, command: str, **content: Any) -> Any:
        return _value(self._http.post(f"{self._url}/{command}", json=content, timeout=240))

    def _answers(self, base: str) -> bool:
        try:
            ready = self._http.get(f"{base}/status", timeout=5).json()["value"]["ready"]
            return bool(ready) and self._driver.poll() is None
        except requests.RequestException:
            return False

    def _end(self) -> None:
        self._driver.terminate()
        self._driver.wait(30)
        self._profile.cleanup()


def wait_for(condition, seconds: float, what: str) -> Any:
    """Ask until the answer is true.

    Raises:
        TimeoutError: it was not in time.
    """
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(0.25)


def _value(answer: requests.Response) -> Any:
    content = answer.json()["value"]
    if answer.status_code >= 400:
        raise RuntimeError(f"{content.get('error')}: {str(content.get('message'))[:500]}")
    return content
