"""The page as a browser has it: quiet, alone, drawn, and fit for phone and paper."""

import csv
import io
import itertools

import pytest

from bandlimiter.report.html import Shown, write_page
from bandlimiter.results import OURS
from bandlimiter.results.runs import StoredRun
from tests.report.html.browser import CHROMIUM, Page
from tests.report.html.runs import (
    BREAKOUT,
    CLASSES,
    HOSTILE,
    SETTINGS,
    exhibits_of,
    failed_row,
    rows_of,
    store_run,
    swept,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt install chromium)"),
]

RATES = '[data-figure="rates-minimal"]'
NAMES = (OURS, HOSTILE, "=cmd()", '"><b>x</b>', "&lt;i&gt;")


@pytest.fixture(scope="module")
def page(tmp_path_factory, sample, photos):
    """Two runs: one with hostile names everywhere, one a sweep of ten."""
    folder = tmp_path_factory.mktemp("page")
    settings = {**SETTINGS, "class_names": [HOSTILE, BREAKOUT, *CLASSES[2:]], "model": BREAKOUT}
    rows = [*rows_of(20, NAMES, (HOSTILE, BREAKOUT)), failed_row(90, BREAKOUT)]
    shown = {
        "settings": settings,
        "examples": exhibits_of(sample.module, photos),
        "result": {"warnings": [{"kind": HOSTILE, "about": BREAKOUT, "message": HOSTILE}]},
    }
    store_run(folder / "one", rows, missing=2, **shown)
    radii = (1, 2, 3, 4, 5, 8, 10, 12, 15)
    rows = rows_of(20, [OURS, *(f"r={radius}" for radius in radii)], adaptive=False)
    store_run(folder / "two", rows, kind="answers", settings=swept(*radii))
    runs = [Shown.of(StoredRun.open(folder / name)) for name in ("one", "two")]
    return write_page(runs, folder / "page.html")


@pytest.fixture(scope="module")
def desk(page, tmp_path_factory):
    with Page(tmp_path_factory.mktemp("desk")) as opened:
        yield opened.load(page)


def test_this_browser_would_tell(tmp_path, tmp_path_factory):
    """What the other tests find absent is found where it is present."""
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<img src='http://localhost:9/x'><script>console.error('no'); undefined_thing()</script>"
    )
    with Page(tmp_path_factory.mktemp("bad")) as opened:
        opened.load(bad)
        assert ["no"] in opened.errors
        assert any("undefined_thing" in str(error) for error in opened.errors)
        assert "http://localhost:9/x" in opened.requests


def test_nothing_goes_wrong_and_nothing_is_asked_for(desk, page):
    assert desk.errors == []
    asked = [url for url in desk.requests if not url.startswith("data:")]
    assert asked == [page.resolve().as_uri()]


def test_a_request_would_be_refused(desk):
    """The page's policy stops what its text cannot hold anyway."""
    code = "fetch('https://example.org/').then(() => 'sent', () => 'refused')"
    before = len(desk.errors)
    assert desk.evaluate(code) == "refused"
    assert any("Content Security Policy" in str(error) for error in desk.errors[before:])
    del desk.errors[before:]


def test_every_figure_is_drawn(desk):
    drawn = desk.evaluate(
        "[...document.querySelectorAll('.plot')].map(plot => "
        "plot.querySelectorAll('.main-svg .scatterlayer path').length)"
    )
    # The sweep and the rates by two protocols, smallest budgets, four attacks.
    assert len(drawn) == 2 + 2 + 1 + 4
    assert min(drawn) > 0


def test_the_gallery_is_shown(desk):
    sizes = desk.evaluate("[...document.images].map(i => [i.naturalWidth, i.alt])")
    assert [size for size, _ in sizes] == [32] * 6
    assert all(alt for _, alt in sizes)


def test_names_stay_text(desk):
    assert desk.evaluate("document.title").startswith("one, two")
    found = desk.evaluate("[document.querySelectorAll('img:not([src^=\"data:\"])').length, 0]")
    assert found == [0, 0]
    assert desk.evaluate("document.querySelectorAll('.plot b, .plot i, main b').length") == 0
    legends = desk.evaluate("[...document.querySelectorAll('.legend')].map(l => l.innerText)")
    for name in NAMES:
        assert any(f"{name} (one)" in legend for legend in legends), name
    ticks = desk.evaluate("[...document.querySelectorAll('.xtick')].map(t => t.textContent)")
    assert any(tick.startswith("<img src=x") for tick in ticks)


def test_hover_texts_stay_text(desk):
    """Plotly reads tags in them: what it shows must be the name itself."""
    desk.evaluate(
        f"Plotly.Fx.hover(document.querySelector('{RATES}'), [{{curveNumber: 1, pointNumber: 0}}])"
    )
    shown = desk.evaluate(f"document.querySelector('{RATES} .hoverlayer').textContent")
    assert f"{HOSTILE} (one)" in shown
    assert desk.errors == []


def test_a_curve_can_be_hidden_and_shown(desk):
    count = f"document.querySelectorAll('{RATES} .trace').length"
    click = f"document.querySelector('{RATES} + .legend button').click()"
    before = desk.evaluate(count)
    desk.evaluate(click)
    assert desk.evaluate(count) == before - 1
    desk.evaluate(click)
    assert desk.evaluate(count) == before


def test_rows_can_be_saved(desk):
    code = """new Promise(done => {
        const make = URL.createObjectURL;
        URL.createObjectURL = blob => { blob.text().then(done); return make(blob); };
        HTMLAnchorElement.prototype.click = () => {};
        document.querySelector('button[data-file]').click();
    })"""
    table = list(csv.reader(io.StringIO(desk.evaluate(code))))
    assert len(table) == 1 + 2 * 2 * 20 * len(NAMES) + 2 * 20 * (len(NAMES) + 1) + 1
    assert {row[table[0].index("defence")] for row in table} >= {HOSTILE, "'=cmd()"}


def test_headings_are_in_order_and_cells_have_heads(desk):
    levels = desk.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => +h.tagName[1])")
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert desk.evaluate("document.querySelectorAll('th:not([scope])').length") == 0
    ids = desk.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))
    links = desk.evaluate("[...document.querySelectorAll('a[href^=\"#\"]')].map(a => a.hash)")
    assert {link[1:] for link in links} <= set(ids)


def test_it_prints(desk, page, tmp_path):
    desk.print(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
    assert desk.errors == []


@pytest.mark.parametrize("dark", [False, True])
def test_nothing_is_wider_than_a_phone(page, tmp_path_factory, dark):
    with Page(tmp_path_factory.mktemp("phone"), width=360, dark=dark, touch=True) as phone:
        phone.load(page)
        assert phone.errors == []
        assert phone.evaluate("document.documentElement.scrollWidth") <= 360
        wide = phone.evaluate(
            "[...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll') && "
            "e.getBoundingClientRect().right > 361).map(e => e.outerHTML.slice(0, 80))"
        )
        assert wide == []
        colour = phone.evaluate("getComputedStyle(document.body).backgroundColor")
        assert colour == ("rgb(20, 23, 26)" if dark else "rgb(255, 255, 255)")
