"""The page in a real browser: quiet, within its width, usable by keyboard and by screen reader."""

import importlib.util
import shutil
import subprocess

import pytest

from reports import __main__ as command
from reports.tests import samples

pytestmark = pytest.mark.skipif(importlib.util.find_spec("playwright") is None, reason="no playwright: the page is not tried in a browser")

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PHONE, DESK = 390, 1440
HOSTILE = "<script>document.title='run'</script>"


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium of this system."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed")
    from playwright import sync_api

    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The address of a report on two environments, one of them with a hostile backend."""
    folder = tmp_path_factory.mktemp("records")
    samples.whole_run(folder)
    samples.write(folder, [samples.observation(HOSTILE, "diverges", message=HOSTILE)])
    assert command.main(["--records", str(folder), "--output", str(folder / "report")]) == 0
    return (folder / "report" / "index.html").as_uri()


@pytest.fixture
def visit(browser, address):
    """Open the page: visit(width, scheme, fragment); what it complained of or asked for is in page.complaints."""
    contexts = []

    def call(width=DESK, scheme="light", fragment=""):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce")
        contexts.append(context)
        page = context.new_page()
        page.complaints = []
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("request", lambda request: None if request.url.startswith((address, "data:")) else page.complaints.append(request.url))
        page.goto(address + fragment)
        return page

    yield call
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def axe(tmp_path_factory):
    """The source of axe-core, from npm."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm: axe-core cannot be had")
    folder = tmp_path_factory.mktemp("axe")
    done = subprocess.run(
        [npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder), "axe-core@4"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"npm could not fetch axe-core: {done.stderr.strip().splitlines()[-1:]}")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESK])
def test_the_page_is_quiet_and_within_its_width(visit, width, scheme):
    """The page logs nothing, asks for nothing, runs nothing of a record, and never scrolls sideways."""
    page = visit(width, scheme)
    assert page.complaints == [] and page.title().startswith("Poolproof: ")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    over = """() => [...document.querySelectorAll("main *")]
        .filter((element) => !element.closest(".scroll, dialog, svg, .hidden-text"))
        .filter((element) => element.getBoundingClientRect().right > innerWidth + 1)
        .map((element) => element.outerHTML.slice(0, 90))"""
    assert page.evaluate(over) == []


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_the_verdict_is_on_the_first_screen(visit, width):
    """The headline stands in the first screen, on a phone too."""
    page = visit(width)
    box = page.locator("h1").bounding_box()
    assert box["y"] + box["height"] < 900 and "deviate" in page.locator("h1").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESK])
def test_axe_finds_nothing_serious(visit, axe, width, scheme):
    """axe-core finds no serious or critical violation, with every part opened."""
    page = visit(width, scheme)
    page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
    page.evaluate(axe)
    violations = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    serious = [(one["id"], one["nodes"][0]["html"][:200]) for one in violations if one["impact"] in ("serious", "critical")]
    assert serious == []


def test_a_filter_hides_backends_and_states(visit):
    """Unchecking a backend hides its column and its deviations; unchecking states hides rows, and the address says so."""
    page = visit()
    column = page.locator("#cell-torch-dtype-float32")
    assert column.is_visible()
    page.get_by_role("checkbox", name="torch", exact=True).uncheck()
    assert not column.is_visible() and not page.locator("#d-torch-last-nan-index").is_visible() and page.locator("#filtered").is_visible()
    for state in ("conforms", "gap", "not run"):
        page.get_by_role("checkbox", name=state, exact=True).uncheck()
    assert not page.locator("#cell-numpy-dtype-float64").is_visible() and page.locator("#cell-tensorflow-values-nan").is_visible()
    assert "backends=" in page.url and "states=" in page.url
    again = visit(fragment="#" + page.url.partition("#")[2])
    assert not again.locator("#cell-torch-dtype-float32").is_visible()
    again.locator("#filtered").get_by_role("button", name="Show everything").click()
    assert again.locator("#cell-torch-dtype-float32").is_visible() and "states=" not in again.url


def test_a_deep_link_opens_a_deviation(visit):
    """The link of a deviation opens it and brings it into view."""
    page = visit(fragment="#d-tensorflow-max-drops-nan")
    card = page.locator("#d-tensorflow-max-drops-nan")
    assert card.get_attribute("open") is not None
    assert 0 <= card.bounding_box()["y"] < 900


def test_a_deep_link_opens_a_cell(visit):
    """The link of a cell opens what it says: the smallest case, expected, got, and a link to the deviation."""
    page = visit(fragment="#cell-tensorflow-values-nan")
    dialog = page.locator("dialog")
    assert dialog.is_visible() and "nan,0x3" in dialog.inner_text() and "Expected" in dialog.inner_text()
    dialog.get_by_role("link", name="A NaN in the window of a max is dropped.").click()
    assert not dialog.is_visible() and page.locator("#d-tensorflow-max-drops-nan").get_attribute("open") is not None


def test_a_cell_of_one_reduction_shows_its_block(visit):
    """The link of a cell in a reduction's own block shows that block."""
    page = visit(fragment="#cell-tensorflow-max-values-nan")
    assert page.locator("dialog").is_visible() and page.get_by_label("Reduction").input_value() == "max"


def test_the_keyboard_opens_and_closes_a_cell(visit):
    """Enter on a cell opens it, Escape closes it, and the focus is back where it was."""
    page = visit()
    page.locator("#cell-numpy-dtype-float32 > a").focus()
    page.keyboard.press("Enter")
    assert page.locator("dialog").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("dialog").is_visible()
    assert page.evaluate("document.activeElement.parentElement.id") == "cell-numpy-dtype-float32"


def test_without_script_everything_is_there(browser, address):
    """A reader without script gets the verdict, every deviation with its case, and every table."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    page.locator("#d-tensorflow-max-drops-nan > summary").click()
    shown = page.locator("#d-tensorflow-max-drops-nan").inner_text()
    context.close()
    assert "max sliding kernel=2,2 x=float32:1,1,2,2:nan,1,0,0" in shown and "import tensorflow as tf" in shown


def test_the_page_prints(visit, tmp_path):
    """Printed, the page is a document of several pages without its controls."""
    page = visit()
    page.pdf(path=tmp_path / "report.pdf")
    page.emulate_media(media="print")
    assert not page.locator(".side").is_visible() and page.locator("h1").is_visible()
    assert (tmp_path / "report.pdf").stat().st_size > 10_000
