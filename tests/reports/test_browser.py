"""The page in a real browser: axe-core, no sideways scrolling, no requests, readable without scripts, printed light."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from reports import render_html
from tests.reports.sample_record import sample_record
from tests.reports.test_hostile import hostile_record

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine"),
    pytest.mark.skipif(find_spec("playwright") is None, reason="playwright is not installed"),
]
PAGES = {"sample": sample_record, "hostile": hostile_record}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield launched
        launched.close()


@pytest.fixture(scope="module", params=["sample", pytest.param("hostile", marks=pytest.mark.slow)])
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render_html(PAGES[request.param]()), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def axe() -> str:
    if find_spec("axe_playwright_python") is None:
        pytest.skip("axe-playwright-python is not installed")
    from axe_playwright_python import base

    return (Path(base.__file__).parent / "axe.min.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_no_axe_violation_no_message_no_request(browser: Any, address: str, axe: str, width: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    messages: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(address)
    page.evaluate("document.querySelectorAll('details').forEach(node => { node.open = true })")
    found = page.evaluate(axe + "; axe.run(document, {resultTypes: ['violations']})")
    summary = [(v["id"], [node["html"][:160] for node in v["nodes"]][:3]) for v in found["violations"]]
    sizes = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    context.close()
    assert summary == []
    assert found["passes"]
    assert sizes[0] <= sizes[1]
    assert messages == []
    assert [url for url in requests if not url.startswith(("data:", address))] == []


def test_axe_would_see_a_fault(browser: Any, address: str, axe: str) -> None:
    page = browser.new_page()
    page.goto(address)
    page.evaluate("document.querySelector('h1').style.color = '#eee'; document.documentElement.removeAttribute('lang')")
    found = page.evaluate(axe + "; axe.run(document, {resultTypes: ['violations']})")
    page.close()
    assert {"color-contrast", "html-has-lang"} <= {violation["id"] for violation in found["violations"]}


def test_everything_is_readable_without_scripts(browser: Any, address: str) -> None:
    context = browser.new_context(java_script_enabled=False, viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.goto(address)
    visible = page.locator("body").inner_text()
    context.close()
    for words in ("What was not assessed", "Reproduce it", "Threat model", "How to read this report"):
        assert words in visible


def test_injected_script_would_not_run(browser: Any, tmp_path: Path) -> None:
    """Were an escape ever forgotten, the content security policy stands behind it."""
    path = tmp_path / "report.html"
    path.write_text(render_html(sample_record()).replace("</h1>", "<script>document.title='owned'</script></h1>"))
    page = browser.new_page()
    page.goto(path.as_uri())
    title = page.title()
    page.close()
    assert title.startswith("Failed:")


def test_the_theme_follows_the_reader_without_script(browser: Any, address: str) -> None:
    context = browser.new_context(java_script_enabled=False, color_scheme="light")
    page = context.new_page()
    page.goto(address)
    colours = []
    for choice in ("light", "dark", "auto"):
        page.check(f"#theme-{choice}")
        colours.append(page.locator("body").evaluate("node => getComputedStyle(node).backgroundColor"))
    page.emulate_media(media="print", color_scheme="dark")
    printed = page.locator("body").evaluate("node => getComputedStyle(node).backgroundColor")
    context.close()
    assert colours == ["rgb(255, 255, 255)", "rgb(21, 23, 26)", "rgb(255, 255, 255)"]
    assert printed == "rgb(255, 255, 255)"


def test_the_keyboard_reaches_the_skip_link_first_and_every_scrolling_region(browser: Any, address: str) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 800})
    page.goto(address)
    page.keyboard.press("Tab")
    first = page.evaluate("document.activeElement.textContent")
    unreachable = page.evaluate(
        """() => [...document.querySelectorAll('*')].filter(node => {
            const style = getComputedStyle(node);
            const scrolls = ['auto', 'scroll'].includes(style.overflowX) && node.scrollWidth > node.clientWidth + 1;
            return scrolls && node.tabIndex < 0;
        }).map(node => node.className)"""
    )
    page.close()
    assert first == "Skip to the findings"
    assert unreachable == []


def test_print_opens_what_is_folded(browser: Any, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    page.emulate_media(media="print")
    measure = "nodes => nodes.map(node => node.getBoundingClientRect().height)"
    heights = page.locator("details.fold table").evaluate_all(measure)
    context.close()
    assert heights
    assert min(heights) > 0
