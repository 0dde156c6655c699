"""The page as text: what it says first, what it keeps out, how large it grows."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from bandlimiter.errors import ConfigurationError
from bandlimiter.report.html import Shown, render_page, write_page
from bandlimiter.report.html.colours import looks_of
from bandlimiter.report.html.pictures import magnified
from bandlimiter.report.tables import Study
from bandlimiter.results import NONE, OURS
from bandlimiter.results.runs import StoredRun
from tests.report.html.runs import (
    BREAKOUT,
    HOSTILE,
    SETTINGS,
    failed_row,
    rows_of,
    store_run,
    swept,
)


def shown(folder, rows, **more):
    return Shown.of(StoredRun.open(store_run(folder, rows, **more)))


class Body(HTMLParser):
    """The words of the body, without scripts, and the names of all elements."""

    def __init__(self, text):
        super().__init__()
        self.words, self.tags, self._skip = [], [], 0
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._skip += tag in ("script", "style", "nav")

    def handle_endtag(self, tag):
        self._skip -= tag in ("script", "style", "nav")

    def handle_data(self, data):
        if not self._skip and data.strip():
            self.words.append(" ".join(data.split()))


def test_the_verdict_comes_first_and_what_is_missing_next(tmp_path):
    rows = rows_of(20) + [failed_row(i, "SIGKILL") for i in (20, 21)] + [failed_row(22, "NaN")]
    run = shown(tmp_path / "run", rows, missing=37)
    text = " ".join(Body(render_page([run])).words)
    verdict = text.index("The defence brings back")
    unfinished = text.index("Unfinished: 3 of 40 shards")
    failed = text.index(
        "3 images gave no answer and count in no rate .".replace(" .", "."), verdict
    )
    assert verdict < unfinished
    assert verdict < failed < text.index("Figures", verdict)
    assert "2 images: SIGKILL" in text
    assert "1 image: NaN" in text


def test_the_same_runs_give_the_same_bytes(tmp_path):
    run = shown(tmp_path / "run", rows_of(10))
    first = write_page([run], tmp_path / "a.html").read_bytes()
    again = Shown.of(StoredRun.open(tmp_path / "run"))
    assert write_page([again], tmp_path / "b.html").read_bytes() == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "b.html", "run"]


def test_the_paper_s_figures_stand_beside_its_own_protocol_only(tmp_path):
    words = Body(render_page([shown(tmp_path / "run", rows_of(10))])).words
    assert words.count("the paper's") == 2  # FGSM and PGD, of the run's own defence
    assert "7552" in words
    other = {**SETTINGS, "radius": 3.0}
    words = Body(render_page([shown(tmp_path / "other", rows_of(10), settings=other)])).words
    assert "the paper's" not in words


def test_no_name_becomes_an_element(tmp_path):
    settings = {**SETTINGS, "class_names": [HOSTILE] * 10, BREAKOUT: HOSTILE}
    hostile = Body(
        render_page([shown(tmp_path / "a", rows_of(10, (OURS, BREAKOUT)), settings=settings)])
    )
    plain = Body(render_page([shown(tmp_path / "b", rows_of(10, (OURS, "x")))]))
    count = [tag for tag, _ in plain.tags].count
    assert [tag for tag, _ in hostile.tags].count("script") == count("script")
    assert [tag for tag, _ in hostile.tags].count("img") == count("img") == 0
    assert not any(key.startswith("on") for _, keys in hostile.tags for key in keys)
    assert HOSTILE in hostile.words


def test_the_policy_allows_this_page_alone(tmp_path):
    body = Body(render_page([shown(tmp_path / "run", rows_of(5))]))
    (policy,) = [keys["content"] for tag, keys in body.tags if keys.get("http-equiv")]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data: blob:"
    assert re.fullmatch(r"'sha256-\S+' 'sha256-\S+'", rules["script-src"])
    assert "http" not in policy
    addresses = [keys[key] for _, keys in body.tags for key in ("src", "href") if key in keys]
    assert all(address.startswith(("#", "data:")) for address in addresses)


def test_ten_thousand_rows_stay_under_15_mb(tmp_path):
    rows = rows_of(1000, (OURS, "gaussian"))
    assert len(rows) >= 10_000
    page = write_page([shown(tmp_path / "run", rows)], tmp_path / "page.html")
    assert page.stat().st_size < 15e6


def test_a_run_without_rows_says_so(tmp_path):
    text = " ".join(Body(render_page([shown(tmp_path / "run", [])])).words)
    assert "nothing can be said" in text


def test_attacks_alone_judge_nothing(tmp_path):
    run = shown(tmp_path / "run", rows_of(10, (OURS,), adaptive=False), kind="attacks")
    text = " ".join(Body(render_page([run])).words)
    assert "10 of 10 images are fooled. No defence is judged here." in text
    assert "brings back" not in text


def test_no_run_and_no_file_are_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="at least one run"):
        render_page([])
    run = shown(tmp_path / "run", rows_of(3))
    with pytest.raises(ConfigurationError, match="file that can be written"):
        write_page([run], tmp_path / "missing" / "page.html")


def test_looks_differ_and_a_sweep_rises():
    def study(names, settings=None):
        rows = rows_of(2, names, adaptive=False)
        return Study("a", "evaluation", "done", 1, 1, 0, rows, settings or {})

    apart = looks_of([study([OURS, *"abcdefg"]), study([OURS, "a"])])
    colours = [look.light for (_, name), look in apart.items() if name != NONE]
    assert len(set(colours[:8])) == 8
    assert apart[0, OURS] != apart[1, OURS]  # two runs' defences are two
    sweep = looks_of([study([f"r={i}" for i in (9, 1, 5, 3)], swept(9, 1, 5, 3))])

    def lightness(colour):  # of the sRGB channels, enough to order viridis
        return sum(w * int(colour[i : i + 2], 16) for w, i in ((0.3, 1), (0.6, 3), (0.1, 5)))

    rising = [lightness(sweep[0, f"r={i}"].light) for i in (1, 3, 5, 9)]
    assert rising == sorted(rising)


@pytest.mark.parametrize("size", [0.1 / 255, 1 / 255, 8 / 255, 0.3, 1.0])
def test_differences_are_magnified_as_far_as_they_fit(size):
    clean = np.full((3, 4, 4), 0.0)
    other = clean.copy()
    other[0, 0, 0] = size
    image, factor = magnified(clean, other)
    assert image[0, 0, 0] == pytest.approx(0.5 + factor * size, rel=1e-12)
    assert factor == 1 or (factor * size <= 0.5 < 2.5 * factor * size)  # steps are 2 or 2.5
    assert (image[1:] == 0.5).all()
