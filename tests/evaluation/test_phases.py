"""Where the time goes: each moment belongs to one phase, whoever spends it."""

import time
from pathlib import Path

import pytest
import torch
from torch import nn

from bandlimiter import PostAverage, evaluate
from bandlimiter.evaluation import phases
from bandlimiter.evaluation.executors import Processes
from bandlimiter.evaluation.phases import OTHER, phase, timed
from bandlimiter.results.phases import said_phases, seconds_by_phase
from bandlimiter.results.runs import StoredRun


def test_the_innermost_phase_has_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(100))
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(now)))
    with timed() as seconds, phase("outer"):  # one tick between any two events
        with phase("inner"):
            pass
        with phase("inner"):
            pass
    assert seconds == {OTHER: 2.0, "outer": 3.0, "inner": 2.0}


def test_an_error_inside_ends_its_phase() -> None:
    with timed() as seconds:
        with pytest.raises(ValueError, match="no"), phase("inner"):
            raise ValueError("no")
        with phase("after"):
            pass
    assert set(seconds) == {OTHER, "inner", "after"}
    with phase("outside"):  # and nothing is kept where nobody times
        pass


def test_a_run_inside_a_run_has_its_own() -> None:
    with timed() as outer, phase("a"), timed() as inner, phase("b"):
        pass
    assert (set(outer), set(inner)) == ({OTHER, "a"}, {OTHER, "b"})


@pytest.mark.slow
def test_what_a_run_took_is_kept_and_added_up(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(48, 3)).eval()
    defence = PostAverage(network, 0.5, directions=1, scale=1.0)
    images = torch.rand(4, 3, 4, 4)
    data = (images, network(images).argmax(dim=1))
    options = {"quick": True, "shard_images": 2, "out": tmp_path / "run"}
    began = time.perf_counter()
    found = evaluate(network, defence, data, ["fgsm"], executor=Processes(2, 1), **options)
    assert 0 < sum(found.seconds.values()) < 2 * (time.perf_counter() - began)
    assert set(found.seconds) >= {phases.ATTACKS, phases.ANSWERS, phases.LOADING, phases.WRITING}
    stored = StoredRun.open(tmp_path / "run")
    assert seconds_by_phase(stored.timings()) == found.seconds
    for timing in stored.timings():
        if "shard" in timing:
            assert sum(timing["phases"].values()) == pytest.approx(timing["seconds"], abs=0.01)
    again = evaluate(network, defence, data, ["fgsm"], executor=Processes(2, 1), **options)
    assert again.seconds == found.seconds  # nothing was left to do
    assert said_phases(found.seconds).startswith(f"{sum(found.seconds.values()):.1f} s: ")
