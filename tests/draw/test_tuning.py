"""The picture of a choice shows the document's numbers."""

import numpy as np
import pytest

from bandlimiter.draw.plotting import save_figure
from bandlimiter.draw.tuning import draw_tuning

pytest.importorskip("matplotlib")

CURVE = [
    {"radius": r, "accuracy": 0.9 - loss, "loss": loss, "loss_interval": [loss - 0.05, loss + 0.1]}
    for r, loss in [(0.0, 0.0), (3.0, 0.01), (6.0, 0.2)]
]
COUNTS = {
    "chosen": 15,
    "most_differing": 0.01,
    "points": [
        {"directions": k, "differing_share": share, "differing_share_interval": [0.0, share + 0.03]}
        for k, share in [(6, 0.02), (15, 0.01), (60, 0.0)]
    ],
}


def document(directions=None):
    return {
        "settings": {"model": "sample", "directions": 15, "sampler": "directions"},
        "images": 100,
        "plain_accuracy": 0.9,
        "most_loss": 0.01,
        "radius": 3.0,
        "radius_pixels": 0.7,
        "curve": CURVE,
        "directions": directions,
    }


def lines(panel):
    return {line.get_label(): line for line in panel.lines}


def test_the_curve_its_band_and_the_chosen_radius():
    (panel,) = draw_tuning(document()).axes
    found = lines(panel)
    np.testing.assert_allclose(found["averaged"].get_xdata(), [0, 3, 6])
    np.testing.assert_allclose(found["averaged"].get_ydata(), [0.9, 0.89, 0.7])
    assert found["plain model, 0.900"].get_ydata() == [0.9, 0.9]
    assert found["0.01 less"].get_ydata() == pytest.approx([0.89, 0.89])
    assert found["chosen: r = 3 (0.7 in pixels)"].get_xdata() == [3, 3]
    (band,) = panel.collections
    ends = band.get_paths()[0].vertices
    # The plain accuracy less the interval of the loss: at r = 6 it is 0.15 to 0.3.
    at_six = sorted({round(float(y), 9) for x, y in ends if x == 6})
    assert at_six == [0.6, 0.75]


def test_the_choice_of_k_has_a_panel_of_its_own():
    _, panel = draw_tuning(document(COUNTS)).axes
    found = lines(panel)
    assert list(found["chosen: K = 15"].get_xdata()) == [1, 1]
    assert [text.get_text().split("\n")[0] for text in panel.get_xticklabels()] == [
        "K = 6",
        "K = 15",
    ]
    (bars,) = panel.containers
    np.testing.assert_allclose(bars.lines[0].get_ydata(orig=False), [0.02, 0.01])
    largest = draw_tuning(document({**COUNTS, "chosen": 60})).axes[1]
    assert not any("chosen" in name for name in lines(largest))


def test_files_repeat(tmp_path):
    for name in ("a", "b"):
        save_figure(draw_tuning(document(COUNTS)), tmp_path / name)
    for suffix in (".png", ".svg"):
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
