"""Runs that are killed and continued, finished, or asked to go on with something else."""

import pytest
import torch
from filelock import FileLock

from bandlimiter.errors import ConfigurationError, LoadError
from bandlimiter.hardening import Recipe, run
from bandlimiter.hardening.checkpoint import read_log
from bandlimiter.models.card import read_card
from tests.hardening.problems import (
    SIGMA,
    briefly,
    convolutional,
    fragile,
    killed_at,
    lasting,
    pictures,
    refused,
    same_weights,
    two_classes,
)


@pytest.fixture
def kept_always(monkeypatch):
    """States are written as often as the disk allows; after a process's first step for sure."""
    monkeypatch.setattr(run, "_KEEP_EVERY", 0.0)
    monkeypatch.setattr(run, "_PER_WRITING", 0.0)


STEPS = 14
"""Seven in each of two epochs."""


@pytest.fixture(scope="module")
def uninterrupted():
    return briefly(convolutional(), pictures(60))


@pytest.mark.parametrize("points", [[3], [7], [13], [14], [0], [1, 2, 7], list(range(STEPS + 1))])
def test_killed_and_continued_it_gives_the_same_weights(
    tmp_path, kept_always, uninterrupted, points
):
    for step in points:
        with pytest.raises(KeyboardInterrupt):
            briefly(convolutional(), pictures(60), out=tmp_path, progress=killed_at(step))
        assert (tmp_path / "checkpoint.pt").is_file() == (step > 0)
        assert not (tmp_path / "card.json").exists()
    told = []
    hardened = briefly(
        convolutional(), pictures(60), out=tmp_path, progress=lambda done, *_: told.append(done)
    )
    last = points[-1]
    # It went on with the very next step, from the beginning where nothing was kept.
    assert told[:1] == ([] if last == STEPS else [last + 1] if last else [0])
    assert same_weights(hardened.model, uninterrupted.model)
    assert lasting(hardened.history) == lasting(uninterrupted.history)
    assert hardened.card.held_out == uninterrupted.card.held_out
    assert hardened.card.recipe == uninterrupted.card.recipe
    assert not (tmp_path / "checkpoint.pt").exists()


def test_time_before_a_kill_counts(tmp_path, kept_always):
    with pytest.raises(KeyboardInterrupt):
        briefly(convolutional(), pictures(60), out=tmp_path, progress=killed_at(7))
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    state["seconds"] = 1000.0
    torch.save(state, tmp_path / "checkpoint.pt")
    hardened = briefly(convolutional(), pictures(60), out=tmp_path)
    seconds = [row["seconds"] for row in hardened.history]
    assert seconds == sorted(seconds)
    assert seconds[-1] > 1000
    assert hardened.card.minutes > 1000 / 60


def test_minutes_are_planned_once(tmp_path, kept_always):
    settings = {"minutes": 5.0, "out": tmp_path}
    with pytest.raises(KeyboardInterrupt):
        briefly(convolutional(), pictures(60), progress=killed_at(1), **settings)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    torch.save({**state, "steps": 9}, tmp_path / "checkpoint.pt")
    hardened = briefly(convolutional(), pictures(60), **settings)
    assert hardened.card.recipe["steps"] == hardened.history[-1]["step"] == 9


def test_a_finished_folder_is_read_and_not_trained_again(tmp_path):
    first = briefly(convolutional(), pictures(60), out=tmp_path)
    content = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    told = []
    again = briefly(
        convolutional(), pictures(60), out=tmp_path, progress=lambda *each: told.append(each)
    )
    assert told == []
    assert same_weights(first.model, again.model)
    assert again.card == first.card
    for ours, kept in zip(first.history, again.history, strict=True):
        # The log has six digits.
        assert kept == {
            name: None if value is None else pytest.approx(value, rel=5e-6)
            for name, value in ours.items()
        }
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == content


def test_the_log_has_a_line_for_each_epoch_while_it_trains(tmp_path):
    lines = []

    def progress(done, total, what):
        log = tmp_path / "log.tsv"
        lines.append(len(log.read_text().splitlines()) if log.is_file() else 0)

    hardened = briefly(convolutional(), pictures(60), out=tmp_path, progress=progress)
    # The head, the line of before and one for each epoch of seven steps that has ended.
    assert lines == [0] + [2 + step // 7 for step in range(1, STEPS + 1)]
    rows = read_log(tmp_path)
    assert [row["step"] for row in rows] == [row["step"] for row in hardened.history] == [0, 7, 14]


# --- folders that it does not take --------------------------------------------------------


OTHERS = {
    "sigma": {"sigma": 0.2},
    "epochs": {"epochs": 3},
    "minutes": {"minutes": 1.0},
    "rate": {"rate": 0.01},
    "batch": {"batch": 9},
    "seed": {"seed": 5},
    "part": {"part": "norm"},
    "augment": {"augment": "crop"},
    "averaged": {"averaged": False},
    "weight": {"recipe": Recipe("consistency", 2, 5.0, 0.5)},
    "draws": {"recipe": Recipe("consistency", 3, 10.0, 0.5)},
}


@pytest.mark.parametrize("finished", [True, False])
def test_other_settings_are_refused_by_name(tmp_path, kept_always, finished):
    if finished:
        briefly(convolutional(), pictures(60), out=tmp_path)
    else:
        with pytest.raises(KeyboardInterrupt):
            briefly(convolutional(), pictures(60), out=tmp_path, progress=killed_at(3))
    content = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for name, settings in OTHERS.items():
        message = refused(convolutional(), pictures(60), out=tmp_path, **settings)
        assert f"{name} was" in message
    assert "model was" in refused(convolutional(seed=1), pictures(60), out=tmp_path)
    assert "images was" in refused(convolutional(), pictures(60, seed=1), out=tmp_path)
    x, y = pictures(60)
    assert "images was" in refused(convolutional(), (x, y.flip(0)), out=tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == content


def test_a_folder_of_something_else(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    assert "name another" in refused(fragile(), two_classes(20, 0), out=tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"
    assert "File exists" in refused(fragile(), two_classes(20, 0), out=tmp_path / "thesis.tex")


def test_an_empty_folder_and_one_in_a_missing_folder_will_do(tmp_path):
    (tmp_path / "empty").mkdir()
    for place in (tmp_path / "empty", str(tmp_path / "a" / "b")):
        briefly(fragile(), two_classes(20, 0), out=place)
        assert read_card(tmp_path / place / "card.json").sigma == SIGMA


def test_a_folder_that_somebody_works_in(tmp_path):
    with FileLock(tmp_path / ".lock"):
        assert "another process" in refused(fragile(), two_classes(20, 0), out=tmp_path)
    briefly(fragile(), two_classes(20, 0), out=tmp_path)  # and not any more


def test_a_refused_folder_is_let_go(tmp_path):
    briefly(fragile(), two_classes(20, 0), out=tmp_path)
    refused(fragile(), two_classes(20, 0), out=tmp_path, sigma=0.3)
    briefly(fragile(), two_classes(20, 0), out=tmp_path)


def test_a_folder_whose_first_file_was_being_written_when_it_was_killed(tmp_path):
    (tmp_path / ".lock").touch()
    (tmp_path / ".settings.json.tmp").write_text('{\n  "sig')
    assert len(briefly(fragile(), two_classes(20, 0), out=tmp_path).history) == 3


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"{}"])
def test_a_damaged_state(tmp_path, kept_always, content):
    with pytest.raises(KeyboardInterrupt):
        briefly(fragile(), two_classes(60, 0), out=tmp_path, progress=killed_at(3))
    (tmp_path / "checkpoint.pt").write_bytes(content)
    message = refused(fragile(), two_classes(60, 0), out=tmp_path, kind=LoadError)
    assert "delete it to begin anew" in message
    (tmp_path / "checkpoint.pt").unlink()
    briefly(fragile(), two_classes(60, 0), out=tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "\x00\x01"])
def test_damaged_settings(tmp_path, content):
    briefly(fragile(), two_classes(20, 0), out=tmp_path)
    (tmp_path / "settings.json").write_text(content)
    refused(fragile(), two_classes(20, 0), out=tmp_path, kind=(LoadError, ConfigurationError))


@pytest.mark.parametrize("content", [None, "epoch\tstep\n1\t2\n", "epoch\nzero\n"])
def test_a_finished_folder_with_a_damaged_log(tmp_path, content):
    briefly(fragile(), two_classes(20, 0), out=tmp_path)
    log = tmp_path / "log.tsv"
    if content is None:
        log.unlink()
    else:
        log.write_text(content)
    assert "log.tsv" in refused(fragile(), two_classes(20, 0), out=tmp_path, kind=LoadError)
