"""``tune`` as a run: interrupted anywhere, it measures nothing twice and chooses the same."""

from pathlib import Path

import pytest
import torch

from bandlimiter.data import as_images
from bandlimiter.defence import PostAverage, choose_directions, tune_radius
from bandlimiter.evaluation.tuning import KeptAnswers, tuning_plan
from bandlimiter.results.runs import RunStore, StoredRun
from bandlimiter.results.tuned_rows import TunedRow


class Inside(torch.nn.Module):
    """Images whose mean is near a half are one class, others another."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        distance = (x.flatten(1).mean(dim=1, keepdim=True) - 0.5).abs()
        return torch.cat([0.05 - distance, torch.zeros_like(distance)], dim=1)


class StopError(Exception):
    """Ends a run."""


def tuned(folder: Path | None, allowed: int = 10**9) -> tuple[object, int]:
    """Tune radius and K; give up after so many measurements. Return choices and measurements."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(40, 1, 2, 2, generator=generator)
    images = as_images((x, Inside()(x).argmax(dim=1)))
    defence = PostAverage(Inside(), 1.0, directions=3, scale=1.0).eval()
    measured = 0
    with RunStore(folder, {}, tuning_plan(9, 40), settings={}, rows=TunedRow) as store:
        kept = KeptAnswers(store, images)

        def remember(at, measure):
            def counted():
                nonlocal measured
                if measured == allowed:
                    raise StopError
                measured += 1
                return measure()

            return kept(at, counted)

        common = {"keys": images.ids.tolist(), "remember": remember}
        radius = tune_radius(
            defence, images.images, images.labels, most_loss=0.2, radii=[0.05, 0.1, 0.4],
            refinements=2, **common,
        )  # fmt: skip
        counts = choose_directions(
            defence.variant(radius=radius.radius or 0.01), images.images, images.labels, **common
        )
        kept.finish()
    return (radius, counts), measured


def test_a_run_stopped_anywhere_measures_nothing_twice(tmp_path: Path) -> None:
    expected, needed = tuned(None)
    assert needed >= 6
    for stop in range(needed):
        folder = tmp_path / str(stop)
        with pytest.raises(StopError):
            tuned(folder, allowed=stop)
        assert StoredRun.open(folder).state == "unfinished"
        found, rest = tuned(folder)
        assert found == expected
        assert stop + rest == needed
        run = StoredRun.open(folder)
        assert run.state == "done"
        assert len(run.rows()) == 40 * needed
        assert len({(row.radius, row.directions) for row in run.rows()}) == needed


def test_progress_counts_what_is_remembered(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    x, labels = torch.zeros(3, 1, 2, 2), torch.ones(3, dtype=torch.int64)
    images = as_images((x, labels))
    defence = PostAverage(Inside(), 1.0, directions=1, scale=1.0).eval()
    for _ in range(2):
        told.clear()
        with RunStore(tmp_path / "run", {}, tuning_plan(1, 3), settings={}, rows=TunedRow) as store:
            tune_radius(
                defence, images.images, labels, radii=[0.1], refinements=0,
                progress=lambda done, total, what: told.append((done, total)),
                remember=KeptAnswers(store, images),
            )  # fmt: skip
        assert told[-1] == (3, 3)
