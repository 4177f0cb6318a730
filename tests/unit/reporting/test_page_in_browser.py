"""The page in a real browser, which is spoken to in Chromium's DevTools protocol through two pipes."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ogive.reporting.page import write_page
from ogive.runs import Run

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--remote-debugging-pipe",
)
PATIENCE_S = 40.0


class Browser:
    """One headless Chromium with one tab; every message that it sends unasked is kept in `events`."""

    def __init__(self, path: str) -> None:
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        commands, self._write = os.pipe()
        self._read, answers = os.pipe()
        null = os.open(os.devnull, os.O_RDWR)
        # Chromium reads from 3 and writes to 4; duplicates far above cannot be overwritten by the moves.
        high = [os.dup(null), os.dup(commands), os.dup(answers)]
        moves = [(os.POSIX_SPAWN_DUP2, source, target) for target, source in ((3, high[1]), (4, high[2]))]
        quiet = [(os.POSIX_SPAWN_DUP2, high[0], target) for target in (0, 1, 2)]
        arguments = [path, *FLAGS, f"--user-data-dir={self._profile.name}", "about:blank"]
        self._process = os.posix_spawn(path, arguments, os.environ, file_actions=[*quiet, *moves], setpgroup=0)
        for descriptor in (commands, answers, null, *high):
            os.close(descriptor)
        self._buffer, self._number, self._session = b"", 0, ""
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        """Send a command and wait for its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._message()
            if answer.get("id") != self._number:
                self.events.append(answer)
                continue
            assert "error" not in answer, answer
            return answer["result"]

    def value(self, script: str) -> Any:
        """What a piece of JavaScript, run in the page, comes to."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, script: str) -> None:
        """Wait until a condition in the page holds."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.value(script):
            assert time.monotonic() < deadline, f"never true: {script}"
            time.sleep(0.05)

    def point_at(self, x: float, y: float) -> None:
        """Move the mouse there, from a little away."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x - 30, y=y - 30)
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def click(self, x: float, y: float) -> None:
        """Press and release the left button."""
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def screenshot(self) -> bytes:
        """The visible part of the page as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def of(self, *methods: str) -> list[dict[str, Any]]:
        """The kept messages of these kinds."""
        return [event["params"] for event in self.events if event.get("method") in methods]

    def close(self) -> None:
        """End the browser, all its processes, and forget its profile."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)
        os.close(self._read)
        os.close(self._write)
        self._profile.cleanup()

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], PATIENCE_S)
            assert ready, "the browser does not answer"
            part = os.read(self._read, 1 << 20)
            assert part, "the browser has ended"
            self._buffer += part
        text, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        return message


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    found = Browser(chromium)
    yield found
    found.close()


@pytest.fixture(scope="module")
def written(compared: list[Run]) -> Path:
    return write_page(compared, compared[0].folder / "report.html")


@pytest.fixture
def opened(browser: Browser, written: Path) -> Browser:
    """The page of a search and its random baseline, drawn, in a wide light window, with the mouse elsewhere."""
    if browser.value("location.href") != written.as_uri():
        open_page(browser, written)
    arrange(browser)
    browser.point_at(0, 0)
    browser.wait("document.getElementById('card').hidden")
    return browser


def arrange(browser: Browser) -> None:
    browser.call("Emulation.setDeviceMetricsOverride", width=1200, height=900, deviceScaleFactor=1, mobile=False)
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "light"}])


def open_page(browser: Browser, path: Path) -> None:
    browser.events.clear()
    arrange(browser)
    browser.call("Page.navigate", url=path.as_uri())
    browser.wait(f"document.documentElement?.dataset.ready === 'true' && location.href === {json.dumps(path.as_uri())}")


def complaints(browser: Browser) -> list[Any]:
    """Everything on the console, uncaught errors, and what the security policy has refused."""
    return browser.of("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")


def centre(browser: Browser, selector: str, which: int = 0) -> tuple[float, float]:
    """Where an element is, scrolled into the middle of the window."""
    script = f"""(() => {{
        const found = document.querySelectorAll({json.dumps(selector)})[{which}];
        found.scrollIntoView({{block: "center", behavior: "instant"}});
        const box = found.getBoundingClientRect();
        return [box.x + box.width / 2, box.y + box.height / 2];
    }})()"""
    x, y = browser.value(script)
    # Scrolling hides the card, in an event that must be over before the mouse comes.
    browser.value("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")
    return x, y


def test_the_console_is_silent_and_nothing_is_requested(opened: Browser, written: Path) -> None:
    assert complaints(opened) == []
    urls = [request["request"]["url"] for request in opened.of("Network.requestWillBeSent")]
    # The file itself is the one request.
    assert [url for url in urls if not url.startswith(("data:", "blob:"))] == [written.as_uri()]


@pytest.fixture
def provoked(opened: Browser) -> Iterator[Browser]:
    """The page for a test that makes it complain; the next test gets a fresh one."""
    yield opened
    opened.call("Page.navigate", url="about:blank")


def test_the_policy_is_in_force(provoked: Browser) -> None:
    refused = provoked.value(
        "(() => { const own = document.createElement('script'); own.textContent = 'window.broken = 1';"
        "document.body.append(own); return window.broken === undefined; })()"
    )
    assert refused
    assert provoked.value("fetch('https://example.org/').then(() => 'sent', () => 'refused')") == "refused"
    refusals = [complaint["entry"]["text"] for complaint in provoked.of("Log.entryAdded")]
    assert any("script" in text for text in refusals)
    assert any("example.org" in text for text in refusals)


def test_every_chart_is_drawn(opened: Browser) -> None:
    names = opened.value("[...document.querySelectorAll('.chart')].map((chart) => chart.id)")
    assert names == ["chart-anytime", "chart-pareto", "chart-agreement", "chart-training"]
    for name in names:
        marks = opened.value(f"document.querySelectorAll('#{name} .scatterlayer .trace').length")
        assert marks >= 1, name
        lines = opened.value(
            f"[...document.querySelectorAll('#{name} path.point, #{name} path.js-line')]"
            ".filter((mark) => mark.getBoundingClientRect().width > 0).length"
        )
        assert lines >= 1, name
    # Fifteen evaluated candidates of the search, sixty of the baseline, of which three failed each; and the winner.
    points = "document.querySelectorAll('#chart-pareto path.point').length"
    assert opened.value(points) == 12 + 57 + 1


def test_hovering_over_a_point_shows_its_picture_and_leaving_hides_it(opened: Browser) -> None:
    assert opened.value("document.getElementById('card').hidden")
    opened.point_at(*centre(opened, "#chart-pareto path.point", 3))
    opened.wait("!document.getElementById('card').hidden")
    assert opened.value("document.querySelectorAll('#card svg').length") == 1
    text = opened.value("document.getElementById('card').textContent")
    assert "nasbench201:" in text
    assert "validation accuracy" in text
    box = opened.value("(({x, y, right, bottom}) => [x, y, right, bottom])(card.getBoundingClientRect())")
    assert box[0] >= 0
    assert box[1] >= 0
    assert box[2] <= 1200
    assert box[3] <= 900
    opened.point_at(5, 5)
    opened.wait("document.getElementById('card').hidden")
    assert complaints(opened) == []


def test_hovering_over_an_architecture_in_the_table_shows_its_picture(opened: Browser) -> None:
    opened.point_at(*centre(opened, "#trials [data-point]", 2))
    opened.wait("!document.getElementById('card').hidden")
    named = opened.value("document.querySelectorAll('#trials [data-point]')[2].textContent")
    assert named in opened.value("document.getElementById('card').textContent")


def test_a_button_changes_what_a_chart_shows(opened: Browser) -> None:
    title = "document.querySelector('#chart-pareto .xtitle').textContent"
    assert opened.value(title) == "latency (ms)"
    opened.click(*centre(opened, "#picks-pareto button", 1))
    opened.wait(f"{title} === 'parameters'")
    pressed = "[...document.querySelectorAll('#picks-pareto button')].map((one) => one.getAttribute('aria-pressed'))"
    assert opened.value(pressed) == ["false", "true"]


def test_a_double_click_shows_the_candidates_that_the_axis_leaves_out(
    browser: Browser, make: Callable[..., Run], tmp_path: Path, trial: Any
) -> None:
    values = [10.0, 10.0, *(90.0 + k / 10 for k in range(20))]
    trials = [trial(k, {"val_acc": v, "params": 1000.0 + 10 * k}, (v,)) for k, v in enumerate(values)]
    open_page(browser, write_page([make("own", trials)], tmp_path / "report.html"))
    low = "document.getElementById('chart-pareto')._fullLayout.yaxis.range[0]"
    assert 85 < browser.value(low) < 90
    assert "a double click on the chart shows all" in browser.value("document.querySelector('#pareto').textContent")
    x, y = centre(browser, "#chart-pareto .nsewdrag")
    browser.point_at(x, y)
    browser.click(x, y)
    browser.click(x, y)
    browser.wait(f"{low} < 10")
    assert complaints(browser) == []


def test_a_click_on_a_heading_sorts_the_table(opened: Browser) -> None:
    column = "[...document.querySelectorAll('#trials tbody tr')].map((row) => Number(row.cells[1].textContent))"
    opened.click(*centre(opened, "#trials th:nth-child(2) button"))
    found = opened.value(column)
    assert found == sorted(found, reverse=True)
    opened.click(*centre(opened, "#trials th:nth-child(2) button"))
    assert opened.value(column) == sorted(found)


def test_charts_follow_the_dark_theme(opened: Browser) -> None:
    ink = "getComputedStyle(document.querySelector('#chart-pareto .xtitle')).fill"
    light = opened.value(ink)
    before = opened.screenshot()
    opened.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    opened.wait(f"{ink} !== {json.dumps(light)}")
    assert opened.screenshot() != before
    assert complaints(opened) == []


def test_a_narrow_screen_needs_no_sideways_scrolling(opened: Browser) -> None:
    opened.call("Emulation.setDeviceMetricsOverride", width=390, height=800, deviceScaleFactor=1, mobile=True)
    opened.wait("document.querySelector('#chart-pareto .main-svg').getBoundingClientRect().width < 390")
    assert opened.value("document.documentElement.scrollWidth") <= 390


def test_a_chart_can_be_saved_as_a_picture(opened: Browser) -> None:
    saved = opened.value("Plotly.toImage('chart-anytime', {format: 'svg'})")
    assert saved.startswith("data:image/svg+xml")
    assert complaints(opened) == []


def test_hostile_names_neither_run_nor_break_the_page(
    browser: Browser, searched: Callable[..., Run], tmp_path: Path
) -> None:
    hostile = "</script><img src=x onerror=\"document.title='broken'\"><a href='javascript:void(0)'>a</a>"
    run = searched("own", strategy=hostile, data=hostile, command=hostile, objectives=[hostile])
    open_page(browser, write_page([run], tmp_path / "report.html"))
    browser.point_at(*centre(browser, "#chart-pareto path.point", 2))
    browser.wait("!document.getElementById('card').hidden")
    assert complaints(browser) == []
    assert browser.value("document.title") != "broken"
    assert browser.value("document.querySelectorAll('img, a[href^=javascript]').length") == 0
    assert hostile in browser.value("document.querySelector('h1').textContent")


def test_many_seeds_are_drawn_too(browser: Browser, make: Callable[..., Run], tmp_path: Path, trial: Any) -> None:
    rng = np.random.default_rng(0)
    runs = []
    for strategy in ("evolution", "random"):
        for seed in range(5):
            values = rng.uniform(50, 90, 30)
            trials = [trial(k, {"val_acc": float(v), "params": 1000.0 + k}, (float(v),)) for k, v in enumerate(values)]
            runs.append(make(f"{strategy}-{seed}", trials, strategy=strategy, seed=seed))
    open_page(browser, write_page(runs, tmp_path / "report.html"))
    # Of each strategy a mean and the two ends of its band.
    assert browser.value("document.querySelectorAll('#chart-anytime .scatterlayer path.js-line').length") == 6
    assert complaints(browser) == []


def test_a_long_title_of_an_axis_is_seen_whole_beside_its_numbers(
    browser: Browser, make: Callable[..., Run], tmp_path: Path, trial: Any
) -> None:
    trials = [trial(k, {"own_fid": 0.0415 - k / 1e4}, (k / 1e4 - 0.0415,)) for k in range(3)]
    run = make("own", trials, objectives=["minimize(own_fid)"])
    open_page(browser, write_page([run], tmp_path / "report.html"))
    edges = "(({left, right, top, bottom}) => [left, right, top, bottom])"

    def box(selector: str) -> list[float]:
        found: list[float] = browser.value(f"{edges}(document.querySelector('{selector}').getBoundingClientRect())")
        return found

    chart, title, numbers = (box(f"#chart-anytime {part}") for part in (".main-svg", ".ytitle", ".yaxislayer-above"))
    assert title[0] >= chart[0]
    assert title[2] >= chart[2]
    assert title[3] <= chart[3]
    assert title[1] < numbers[0]
    counts = "[...document.querySelectorAll('#chart-anytime .xtick text')].map((one) => one.textContent)"
    assert browser.value(counts) == ["0", "1", "2", "3"]
