"""``reproduce figure1``: what is drawn and counted is the network's own."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from bandlimiter.cli.reproduce import figure1 as module
from bandlimiter.cli.small_network import build_subject
from bandlimiter.errors import InputError
from bandlimiter.report.experiments import experiment_tables

pytest.importorskip("matplotlib")

SMALL = {"widths": "6,6,6", "epochs": 150, "step": 0.4, "seed": 1}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("figure1")
    return out, module.figure1(out, **SMALL)


@pytest.fixture(scope="module")
def network():
    """The same network, trained again: nothing is drawn at random but by the seed."""
    subject = build_subject(
        None, "moons", points=400, widths="6,6,6", activation="relu", bias=True, epochs=150,
        save=None, lower=None, upper=None, seed=1,
    )  # fmt: skip
    return subject.network.double()


def changes(network, a, b, points=20_001):
    """Changes of sign between close points on the way, for each layer."""
    t = torch.linspace(0, 1, points, dtype=torch.float64)[:, None]
    x = torch.tensor(a) + t * (torch.tensor(b) - torch.tensor(a))
    found = []
    for layer in network:
        if isinstance(layer, nn.ReLU):
            found.append(int(((x[1:] > 0) != (x[:-1] > 0)).sum()))
        x = layer(x)
    return found


def test_crossings_are_those_seen_by_walking_along(made, network):
    _, document = made
    step = document["step"]
    assert step["length"] == pytest.approx(0.4, rel=1e-12)
    with torch.no_grad():
        counted = changes(network, step["from"], step["to"])
    assert list(step["crossings"].values()) == counted
    assert sum(counted) > 0


def test_no_other_direction_from_a_crosses_more(made, network):
    _, document = made
    a, most = np.array(document["step"]["from"]), sum(document["step"]["crossings"].values())
    with torch.no_grad():
        for angle in 2 * np.pi * np.arange(0, 180, 6) / 180:  # every sixth of those tried
            b = a + 0.4 * np.array([np.cos(angle), np.sin(angle)])
            assert sum(changes(network, a.tolist(), b.tolist(), 2001)) <= most
    elsewhere = document["elsewhere"]
    assert elsewhere["towards_boundary"] <= most
    assert 0 < elsewhere["mean"] <= elsewhere["largest"]


def test_files_and_tables(made):
    out, document = made
    names = [f"figure1.{end}" for end in ("csv", "json", "md", "png", "svg")]
    assert sorted(path.name for path in out.iterdir()) == names
    assert sorted(document["files"]) == sorted(str(out / name) for name in names)
    assert json.loads((out / "figure1.json").read_text()) == document
    page = (out / "figure1.md").read_text()
    first = next(iter(document["step"]["crossings"].values()))
    assert f"| 1 (black) | 6 | {document['layers'][0]['facets']} | {first} |" in page
    assert "3 (red)" in page
    assert document["verdict"] in page
    assert experiment_tables(document).renderables


def test_a_network_that_has_learnt_nothing_has_no_step(tmp_path, monkeypatch):
    from bandlimiter import models

    def zero(*_args, **_kwargs):
        network = models.perceptron.build_perceptron((2, 4, 2))
        for value in network.parameters():
            nn.init.zeros_(value)
        return network

    monkeypatch.setattr(models, "build_perceptron", zero)
    monkeypatch.setattr(models, "train_perceptron", lambda *_a, **_k: 0.5)
    with pytest.raises(InputError, match="classified as labelled"):
        module.figure1(tmp_path)
