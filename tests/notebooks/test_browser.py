"""JupyterLab in a real browser without a network: the first notebook draws everything, and hostile names do nothing.

The shop's names are all attempts to run a script in the reader's browser; the figures are the same with any names.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import threading
from pathlib import Path

import pytest
from playwright.sync_api import ConsoleMessage, Dialog, Page, expect, sync_playwright

from tests.notebooks.lab import RunningLab, running_lab
from tests.notebooks.shop import HOSTILE, SPANS_A_TRACE

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")

WAIT_MS = 90_000
FIGURES = ".jp-RenderedVegaCommon5 svg.marks"
OUTSIDE = re.compile(r"^(?!(https?|wss?)://127\.0\.0\.1[:/]|data:|blob:)")
BLACK_PIXELS = """async png => {
    const image = new Image(); image.src = 'data:image/png;base64,' + png; await image.decode();
    const canvas = new OffscreenCanvas(image.width / 3, image.height), pen = canvas.getContext('2d');
    pen.drawImage(image, 0, 0);
    const rgba = pen.getImageData(0, 0, canvas.width, canvas.height).data;
    let black = 0;
    for (let i = 0; i < rgba.length; i += 4) black += rgba[i] + rgba[i + 1] + rgba[i + 2] < 60 && rgba[i + 3] > 128;
    return black;
}"""
VEGA = re.compile(r"(WARN|ERROR)\b")
"""How a complaint of Vega begins; JupyterLab has some of its own, on a busy machine at least."""


class Proxy:
    """Listens where a server that wants to fetch something is told to go, and counts who comes."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.visitors: list[bytes] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            visitor, _ = self._listener.accept()
            with visitor:
                asked = visitor.recv(1000)
            if asked == b"close":
                return
            self.visitors.append(asked)

    def close(self) -> None:
        with socket.create_connection(self._listener.getsockname()) as last:
            last.sendall(b"close")
        self._thread.join()
        self._listener.close()


class Seen:
    """What a page tried and said; what would leave the machine is cut off."""

    def __init__(self, page: Page) -> None:
        self.outside: list[str] = []
        self.complaints: list[str] = []
        self.dialogs: list[str] = []
        page.route(OUTSIDE, lambda route: route.abort())
        page.on("request", lambda request: self._address(request.url))
        page.on("websocket", lambda opened: self._address(opened.url))
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", self._dialog)

    def _address(self, url: str) -> None:
        if OUTSIDE.match(url):
            self.outside.append(url)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and VEGA.match(message.text):
            self.complaints.append(message.text)

    def _dialog(self, dialog: Dialog) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()


@pytest.fixture(scope="module")
def proxy():
    proxy = Proxy()
    yield proxy
    proxy.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory, hostile_folder, proxy):
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TRACELAKE_LAKE", str(hostile_folder))
        to_proxy = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"), proxy.address)
        with running_lab(tmp_path_factory.mktemp("data"), to_proxy) as running:
            yield running


@pytest.fixture(scope="module")
def browser():
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        # what no page asked for is not routed, so names are not resolved at all
        offline = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=offline)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def context(browser):
    # in a time zone where a chart in local time would be wrong
    with browser.new_context(viewport={"width": 1280, "height": 800}, timezone_id="Asia/Kathmandu") as context:
        context.set_default_timeout(WAIT_MS)
        yield context


@pytest.fixture(scope="module")
def page(context):
    return context.new_page()


@pytest.fixture(scope="module")
def seen(page):
    return Seen(page)


@pytest.fixture(scope="module")
def notebook(page, seen, lab, tmp_path_factory):
    """The first notebook, run from top to bottom and looked at; pictures of it are left in the folder of the test."""
    open_notebook(page, lab)
    menu(page, "Run", "Run All Cells")
    prompts = page.locator(".jp-CodeCell .jp-InputArea-prompt")
    for number in range(prompts.count()):
        expect(prompts.nth(number)).to_have_text(re.compile(r"\[\d+\]:"))
    expect(page.locator(FIGURES)).to_have_count(2)
    take_pictures(page, tmp_path_factory.mktemp("light"))
    return page


def open_notebook(page: Page, lab: RunningLab) -> None:
    """Open the printed address and wait for the kernel."""
    page.goto(lab.lab.url)
    expect(page.locator(".jp-Notebook .jp-Cell").first).to_be_visible()
    expect(page.locator(".jp-StatusBar-TextItem", has_text="| Idle")).to_be_visible()


def menu(page: Page, *labels: str) -> None:
    """Choose from the menus at the top."""
    first, *others = labels
    page.locator(".lm-MenuBar-itemLabel").get_by_text(first, exact=True).click()
    for label in others:
        page.locator(".lm-Menu-itemLabel").get_by_text(label, exact=True).click()


def take_pictures(page: Page, folder: Path) -> None:
    """What somebody sees who reads the notebook on a small screen, for whoever wants to look at it."""
    for number, shown in enumerate(page.locator(".jp-OutputArea-output").all()):
        shown.scroll_into_view_if_needed()
        page.screenshot(path=folder / f"{number}.png")


def words(page: Page, figure: int) -> str:
    return " ".join(page.locator(FIGURES).nth(figure).locator("text").all_text_contents())


def table(page: Page, number: int) -> str:
    return page.locator(".jp-OutputArea-output table").nth(number).text_content() or ""


def test_every_cell_shows_a_table_or_a_figure(notebook):
    assert notebook.locator("[data-mime-type$='.error'], [data-mime-type$='.stderr']").count() == 0
    assert notebook.locator(".jp-OutputArea-output table").count() == 4
    assert notebook.locator(FIGURES).count() == 2


def test_latency_is_drawn_in_utc_with_its_deploys(notebook):
    shown = words(notebook, 0)
    assert all(word in shown for word in ("p50", "p95", "requests", "09:45", "10:30", "v9"))
    lines = notebook.locator(FIGURES).nth(0)
    assert lines.locator(".mark-line path").count() == 2
    assert lines.locator(".role-mark.mark-rule line").count() == 4  # two deploys in two panels


def test_the_waterfall_has_a_bar_for_each_span(notebook):
    assert all(word in words(notebook, 1) for word in ("6 spans", "send mail"))
    assert notebook.locator(FIGURES).nth(1).locator(".mark-rect path").count() == SPANS_A_TRACE


def test_pointing_at_a_bar_shows_its_span(notebook):
    notebook.locator(FIGURES).nth(1).locator(".mark-rect path").first.hover()
    expect(notebook.locator("#vg-tooltip-element")).to_contain_text(f"POST {HOSTILE.route}")


def test_pointing_at_a_minute_shows_its_numbers(notebook):
    notebook.locator(FIGURES).nth(0).locator(".mark-rect path").nth(20).hover()
    expect(notebook.locator("#vg-tooltip-element")).to_contain_text("2026-11-23 09:20 UTC")
    expect(notebook.locator("#vg-tooltip-element")).to_contain_text("p95 ms")


def test_hostile_names_are_shown_letter_by_letter(notebook):
    assert HOSTILE.service in table(notebook, 1)
    assert HOSTILE.database in table(notebook, 2)
    assert HOSTILE.exception in table(notebook, 3)
    assert f"POST {HOSTILE.route}" in words(notebook, 1)


def test_hostile_names_do_nothing(notebook, seen):
    assert notebook.evaluate("window.__pwned") is None
    made = notebook.locator(".jp-OutputArea-output").locator("img, script, iframe, mjx-container, a:not(.vega-actions a)")
    assert made.count() == 0
    assert seen.dialogs == []


def test_charts_follow_the_theme_without_being_run_again(notebook, tmp_path):
    label = notebook.locator(FIGURES).nth(1).locator("text").first
    colour = "element => getComputedStyle(element).fill"
    light = label.evaluate(colour)
    menu(notebook, "Settings", "Theme", "JupyterLab Dark")
    expect(notebook.locator("body")).to_have_attribute("data-jp-theme-light", "false")
    expect(label).not_to_have_css("fill", light)
    take_pictures(notebook, tmp_path)


@pytest.fixture(scope="module")
def saved(notebook):
    """The notebook with its outputs in its file."""
    menu(notebook, "File", "Save Notebook")
    expect(notebook.locator(".lm-TabBar-tab.jp-mod-dirty")).to_have_count(0)
    return notebook


def test_a_saved_notebook_shows_its_charts_to_whoever_opens_it(saved, lab, context):
    reader = context.new_page()
    open_notebook(reader, lab)
    expect(reader.locator(FIGURES)).to_have_count(2)
    assert reader.evaluate("window.__pwned") is None


def test_the_image_of_a_saved_chart_has_its_texts(saved, lab):
    """Programs that cannot draw the chart show the image; its left third is the names of the spans."""
    file = json.loads((Path(lab.lab.environment["TRACELAKE_NOTEBOOKS"]) / "01_start.ipynb").read_text())
    images = [o["data"]["image/png"] for cell in file["cells"] for o in cell.get("outputs", []) if "image/png" in o["data"]]
    assert len(images) == 2
    assert saved.evaluate(BLACK_PIXELS, images[1]) > 500


def test_nothing_is_asked_of_the_network(notebook, seen, proxy):
    assert seen.outside == []
    assert proxy.visitors == []


def test_no_chart_uses_what_jupyterlab_cannot_draw(notebook, seen):
    assert seen.complaints == []
