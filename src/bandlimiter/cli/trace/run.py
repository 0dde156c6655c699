"""The work of ``bandlimiter trace``: from a model and two points to a document and files."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch

from bandlimiter.cli.files import write_json
from bandlimiter.cli.progress import rows_progress, waiting
from bandlimiter.cli.setup import Defended
from bandlimiter.cli.trace import report, slice_report
from bandlimiter.cli.trace.endpoints import (
    Point,
    adversarial_point,
    normalised_length,
    random_point,
)
from bandlimiter.cli.trace.slice import build_slice, choose_window
from bandlimiter.errors import ConfigurationError
from bandlimiter.geometry.graph import read_graph
from bandlimiter.geometry.tracing import PlaneTrace, TraceLimitError, trace_line, trace_plane


class Task:
    """A model that is read for tracing, and a point to start from.

    Parameters
    ----------
    defended
        The model; its defence says what the scale is, and where samples lie.
    start
        An input.
    out
        The folder for files.
    seed
        Names the random draws.
    """

    end: Point

    def __init__(self, defended: Defended, start: Point, out: Path, seed: int) -> None:
        self._defended, self._start, self._out, self._seed = defended, start, out, seed
        self._names = defended.classifier.class_names
        self._scale = torch.as_tensor(defended.defence.scale).double().cpu()
        with waiting("reading the network"):
            graph = read_graph(defended.classifier.module, tuple(start.x.shape))
        self._graph = graph.to(defended.device, torch.float64)
        self.settings: dict[str, Any] = {**defended.settings, "seed": seed, "attack": None}
        self._show: Callable[..., None] = report.show

    def find_end(
        self, attack: str, epsilon: float, *, quick: bool, length: float | None, random: bool
    ) -> None:
        """End at the adversarial image, or in a random direction, by default as far away."""
        if length is None:
            self.end = adversarial_point(
                self._defended, self._start, attack, epsilon, quick=quick, seed=self._seed
            )
            names = {"name": attack, "protocol": "minimal", "epsilon": epsilon, "quick": quick}
            self.settings["attack"] = names
            length = normalised_length(self._start, self.end, self._scale)
        if random:
            self.end = random_point(self._start, self._scale, length, self._seed)

    def run_line(self, limit: int) -> dict[str, Any]:
        """Trace the line, write the files and return the document.

        Raises
        ------
        ConfigurationError
            (a ValueError) beyond ``limit`` breakpoints; the files hold the part so far.
        """
        start, end = self._start, self.end
        normalised_length(start, end, self._scale)
        stopped, began = None, time.perf_counter()
        with rows_progress("of the line") as progress:
            try:
                trace = trace_line(
                    self._graph, start.x, end.x, max_breakpoints=limit, progress=progress
                )
            except TraceLimitError as error:
                stopped, trace = error, error.trace
        seconds = time.perf_counter() - began
        document = report.describe(
            trace, self._graph, start, end, self._scale, self._names, seconds
        )
        self.settings["max_breakpoints"] = limit
        rows = report.write_breakpoints(self._out, trace)
        self._keep(document, [rows])
        files = [rows, *report.draw(self._out, trace, document, self._names)]
        return self._finished(document, files, stopped, "--max-breakpoints")

    def run_plane(
        self, third: Point | None, around: str, extent: float | None, limit: int, *, samples: bool
    ) -> dict[str, Any]:
        """Trace the window of a plane, write the files and return the document.

        Raises
        ------
        ConfigurationError
            (a ValueError) beyond ``limit`` regions; the files hold the part so far.
        """
        start, end = self._start, self.end
        for point in (end, third):
            if point is not None:
                normalised_length(start, point, self._scale)
        plane = build_slice(start, end, third, self._scale, self._seed)
        window, whole = choose_window(self._graph, plane, around, extent, limit)
        stopped, began = None, time.perf_counter()
        with rows_progress("of the window") as progress:
            try:
                trace = trace_plane(
                    self._graph,
                    plane.origin,
                    plane.u,
                    plane.v,
                    window,
                    max_regions=limit,
                    progress=progress,
                )
            except TraceLimitError as error:
                stopped, trace = error, cast(PlaneTrace, error.trace)
        seconds = time.perf_counter() - began
        points = [start, end] if third is None else [start, end, third]
        document = slice_report.describe(trace, self._graph, plane, points, self._names, seconds)
        document["plane"] |= {"around": around, "whole": whole}
        self.settings["max_regions"] = limit
        if samples:
            neighbours = self._neighbours(start if around == "image" else end)
            document["plane"]["samples"] = plane.project(neighbours).tolist()
            self.settings |= self._defended.defence.settings
        rows = slice_report.write_regions(self._out, trace)
        self._keep(document, [rows])
        with waiting("drawing"):
            files = [rows, *slice_report.draw(self._out, trace, plane, document, self._names)]
        self._show = slice_report.show
        return self._finished(document, files, stopped, "--max-regions")

    def show(self, document: dict[str, Any]) -> None:
        """Print a document as tables."""
        self._show(document, self._names)

    def _neighbours(self, point: Point) -> torch.Tensor:
        """Return the points that the defence averages over, in pixels: [6K + 1, ...]."""
        x = point.x.float().to(self._defended.device)
        return self._defended.defence.neighbours(x).detach().double().cpu()

    def _finished(
        self, found: dict[str, Any], files: list[Path], stopped: Exception | None, option: str
    ) -> dict[str, Any]:
        document = self._keep(found, files)
        if stopped is not None:
            where = self._out / "trace.json"
            raise ConfigurationError(f"{stopped} ({option}); what was traced so far is in {where}")
        return document

    def _keep(self, found: dict[str, Any], files: list[Path]) -> dict[str, Any]:
        """Write the document, also before pictures are drawn: numbers stay if that fails."""
        path = self._out / "trace.json"
        names = [str(file) for file in (path, *files)]
        document = {"settings": self.settings, **found, "files": names}
        write_json(path, document)
        return document
