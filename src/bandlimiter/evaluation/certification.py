"""Certification of a set of images as a run: a row per image, kept as it comes."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bandlimiter.attacks import AttackedModel
from bandlimiter.data import ImageSet
from bandlimiter.defence import PostAverage, certify
from bandlimiter.errors import InputError
from bandlimiter.evaluation.crash_marker import crash_marker
from bandlimiter.evaluation.executors import Executor, InProcess, run_shards
from bandlimiter.results.certified_logs import TABLE, table_of
from bandlimiter.results.certified_rows import CertifiedRow
from bandlimiter.results.files import write_whole
from bandlimiter.results.runs import RunStore, Shard, ShardResult
from bandlimiter.tensors import model_logits, place_of, require_images, require_labels

_TOGETHER = 32
"""Images that are decided side by side, where some of them are decided soon."""


@dataclass(frozen=True)
class CertificationWorker:
    """Certifies the images of a shard; see `executors.Worker`.

    Attributes
    ----------
    model, defence
        The plain classifier and its average, on one device.
    images
        What is certified.
    proof
        Arguments of `certify`.
    """

    model: nn.Module
    defence: PostAverage
    images: ImageSet
    proof: Mapping[str, Any]

    def start(self) -> None:
        """Do nothing: all is there."""

    @torch.no_grad()
    def do(self, shard: Shard) -> ShardResult:
        """Certify images side by side; the time is shared out by the samples of each."""
        began = time.perf_counter()
        parts = [self.images.images(i, i + 1) for i in shard.images]
        x = require_images(torch.cat(parts).to(place_of(self.model)[0]))
        ids = [int(self.images.ids[i]) for i in shard.images]
        found = certify(self.defence, x, keys=ids, **self.proof)
        plain = model_logits(self.model, x).argmax(dim=1)
        seconds = time.perf_counter() - began
        each = seconds / max(1, int(found.samples.sum()))
        rows = [
            CertifiedRow(
                image=ids[n],
                label=int(self.images.labels[i]),
                plain=int(plain[n]),
                certified=None if found.labels[n] < 0 else int(found.labels[n]),
                radius=float(found.radius[n]),
                undecided=int(found.undecided[n].sum()),
                share=float(found.share[n]),
                samples=int(found.samples[n]),
                seconds=each * int(found.samples[n]),
            )
            for n, i in enumerate(shard.images)
        ]
        return ShardResult(rows, timings=[{"images": len(rows), "seconds": seconds}])

    def merge(self, shard: Shard, parts: Sequence[ShardResult]) -> ShardResult:
        """Put the rows of images together."""
        rows = [row for part in parts for row in part.rows]
        return ShardResult(rows, timings=[timing for part in parts for timing in part.timings])

    def failed(self, shard: Shard, error: str) -> ShardResult:
        """Return the row of an image that gave no answer: an abstention, with its reason."""
        (place,) = shard.images
        row = CertifiedRow(
            image=int(self.images.ids[place]),
            label=int(self.images.labels[place]),
            plain=-1,
            certified=None,
            radius=0.0,
            undecided=0,
            share=0.0,
            samples=0,
            seconds=0.0,
            error=error,
        )
        return ShardResult([row])


def certify_images(
    worker: CertificationWorker,
    folder: Path | None,
    identity: Mapping[str, Any],
    settings: Mapping[str, Any],
    summarise: Callable[[list[CertifiedRow]], dict[str, Any]],
    *,
    executor: Executor | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> tuple[list[CertifiedRow], dict[str, Any]]:
    """Certify what a run still misses; return its rows and the document made of them.

    Parameters
    ----------
    worker
        Does it.
    folder
        The run's, or None; see `RunStore`. A table in the literature's columns is beside the rows.
    identity, settings
        What rows depend on, and what else readers want to know; see `RunStore`.
    summarise
        Makes the document, kept as ``certified.json``.
    executor
        Who does the work; this process where omitted.
    progress
        Called with images done, images in all, and what is being done.

    Raises
    ------
    InputError, ConfigurationError
        Where the first image does not fit, labels are out of range, or every image failed.
    """
    images = worker.images
    with crash_marker(folder, len(images)) as place:
        first = require_images(images.images(place, place + 1).to(place_of(worker.model)[0]))
        classes = AttackedModel(worker.model).count_classes(first)
        require_labels(images.labels, len(images), classes)
    together = 1 if worker.proof["at"] is None else _TOGETHER
    plan = [
        Shard(f"{start:06d}", "certify", tuple(range(start, min(start + together, len(images)))))
        for start in range(0, len(images), together)
    ]
    reporter = _Reporter(progress, len(images))
    with RunStore(folder, identity, plan, settings=settings, rows=CertifiedRow) as store:
        reporter.done = len(store.rows())
        try:
            run_shards(store, worker, executor or InProcess(), reporter)
        finally:  # whatever ends the run, others' scripts can read what there is
            if folder is not None:
                with suppress(*([OSError] if store.missing() else [])):  # what ended it says more
                    write_whole(folder / TABLE, table_of(store.rows()))
        rows: list[CertifiedRow] = store.rows()
        if all(row.error is not None for row in rows):
            raise InputError(
                f"expected at least one image that can be certified, all failed: {rows[0].error}"
            )
        document = summarise(rows)
        store.write_document("certified.json", document)
    return rows, document


@dataclass
class _Reporter:
    progress: Callable[[int, int, str], None] | None
    total: int
    done: int = 0

    def started(self, shard: Shard) -> None:
        self._tell()

    def finished(self, shard: Shard, result: ShardResult) -> None:
        self.done += len(shard.images)
        self._tell()

    def _tell(self) -> None:
        if self.progress is not None:
            self.progress(self.done, self.total, "certifying")
