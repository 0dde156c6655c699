"""Hardened folders that are unfinished, damaged or of something else: one line each."""

import json
import math
import shutil
from contextlib import suppress

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from bandlimiter import load_model
from bandlimiter.data import load_data
from bandlimiter.errors import BandlimiterError, ConfigurationError, LoadError
from bandlimiter.hardening import run
from bandlimiter.models.card import read_seen
from tests.hardening.problems import (
    SIGMA,
    briefly,
    fragile,
    is_one_line,
    killed_at,
    two_classes,
)
from tests.results.runs.damages import WAYS


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A hardened folder of the packaged network."""
    folder = tmp_path_factory.mktemp("sample") / "hardened"
    briefly(load_model("sample"), load_data("sample", limit=20), epochs=0.2, out=folder)
    return folder


def refused(name, kind=LoadError, **settings):
    with pytest.raises(kind, match="expected") as caught:
        load_model(name, **settings)
    assert isinstance(caught.value, BandlimiterError)
    assert is_one_line(caught.value)
    return str(caught.value)


def test_an_unfinished_folder_says_how_to_go_on(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "_KEEP_EVERY", 0.0)
    monkeypatch.setattr(run, "_PER_WRITING", 0.0)

    with pytest.raises(KeyboardInterrupt):
        briefly(fragile(), two_classes(60, 0), out=tmp_path, progress=killed_at(1))
    message = refused(str(tmp_path), ConfigurationError)
    assert "training has not ended; give `harden` the same command again" in message


@pytest.fixture
def copied(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["card.json", "model.safetensors", "trained_on.npy"])
def test_damaged_files_are_one_line(copied, name, way):
    WAYS[way](copied / name)
    if (name, way) == ("card.json", "all but one"):
        assert load_model(str(copied)).card.sigma == SIGMA  # the last byte ends the line
        return
    gone = name == "card.json" and way in ("deleted", "folder")
    assert name in refused(str(copied), ConfigurationError if gone else LoadError)


@pytest.mark.parametrize("content", [b"PK\x03\x04", b"\x93NUMPY\x09\x00", b"\x80\x04."])
def test_digests_that_are_something_else(copied, content):
    (copied / "trained_on.npy").write_bytes(content)
    assert "trained_on.npy" in refused(str(copied))


@pytest.mark.parametrize(
    "array", [np.zeros((2, 2), np.int64), np.zeros(3, np.float64), np.zeros((), np.int64)]
)
def test_digests_of_another_kind(copied, array):
    np.save(copied / "trained_on.npy", array)
    assert "int64 [N]" in refused(str(copied))


def test_an_archive_for_digests(copied):
    with (copied / "trained_on.npy").open("wb") as file:
        np.savez(file, a=np.zeros(3, np.int64))
    assert "trained_on.npy" in refused(str(copied))


def test_any_byte_of_the_digests_head_may_be_wrong(copied):
    path = copied / "trained_on.npy"
    whole = path.read_bytes()
    stream = np.random.default_rng(0)
    for place in range(128):
        damaged = bytearray(whole)
        damaged[place] = stream.integers(256)
        path.write_bytes(damaged)
        with suppress(LoadError):  # and nothing else is raised
            assert read_seen(path).dtype == np.int64


@pytest.mark.parametrize(
    "changed",
    [
        {"version": 2},
        {"sigma": 0},
        {"sigma": -1.0},
        {"sigma": math.nan},
        {"sigma": math.inf},
        {"sigma": "much"},
        {"unit": "pixels in [0, 255]"},
        {"base_model": 3},
        {"recipe": "consistency"},
        {"surprise": 1},
        {"seed": None},
    ],
)
def test_cards_that_say_something_else(copied, changed):
    path = copied / "card.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))
    (name,) = changed
    assert name in refused(str(copied))


@pytest.mark.parametrize("content", ["", "[]", "3", "null", "{}", "{", "\x00", '"card"'])
def test_cards_that_are_none(copied, content):
    (copied / "card.json").write_text(content)
    assert "card.json" in refused(str(copied))


def test_a_card_in_another_encoding(copied):
    (copied / "card.json").write_bytes(b"\xff\xfe\x00")
    assert "card.json" in refused(str(copied))


def test_weights_of_another_network(copied):
    weights = load_file(copied / "model.safetensors")
    weights.pop(next(name for name in weights if name.endswith("weight")))
    save_file(weights, copied / "model.safetensors")
    assert "1 missing" in refused(str(copied))


def test_a_base_that_is_unknown(copied):
    path = copied / "card.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "base_model": "no such model"}))
    message = refused(str(copied))
    assert "'no such model'" in message
    assert "--model MODULE:FACTORY" in message
