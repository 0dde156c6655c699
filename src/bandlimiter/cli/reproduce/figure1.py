"""The paper's figure 1: a plane cut by a small biased network, and what a small step crosses."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bandlimiter.cli import small_network
from bandlimiter.cli.files import make_folder, write_json
from bandlimiter.cli.output import own_stdout
from bandlimiter.cli.regions import study
from bandlimiter.results.files import write_whole

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bandlimiter.cli.small_network import Subject
    from bandlimiter.geometry.network import PiecewiseLinear

    Floats = NDArray[np.float64]

_DIRECTIONS = 180
_ELSEWHERE = 200
_MOST_REGIONS = 200_000


def figure1(
    out: Path,
    *,
    data: str = "moons",
    widths: str = "16,16,16",
    step: float = 0.15,
    epochs: int = 500,
    seed: int = 0,
) -> dict[str, Any]:
    """Train a network of two inputs with biases, divide the plane by it, and draw figure 1.

    Borders of the first layer are black, of the second blue, of the third red, as in the
    paper. A is the training point closest to the decision boundary; B lies ``step`` from it,
    in the direction that crosses most hyperplanes, as the paper speaks of what *may possibly*
    be crossed. Beside that stand what a step towards the decision boundary crosses, and steps of
    the same length elsewhere.

    Parameters
    ----------
    out
        Folder, made if need be: figure1.png, .svg, .csv (a row a region), .json and .md.
    data, widths, epochs, seed
        Of the network; see ``bandlimiter regions``.
    step
        The distance from A to B, above 0.

    Returns
    -------
    dict
        As of ``bandlimiter regions``, with ``experiment``, ``elsewhere`` (hyperplanes that
        other steps of this length cross: ``towards_boundary`` from A; ``mean`` and ``largest``
        of ``count`` random ones) and ``verdict``.

    Raises
    ------
    ConfigurationError
        (a ValueError) for settings that make no network, or a folder that cannot be made.
    InputError
        (a ValueError) where the network has learnt nothing and so has no A.
    """
    make_folder(out)
    with own_stdout():
        from bandlimiter.geometry import read_network
        from bandlimiter.models import closest_to_boundary
        from bandlimiter.report.experiments import experiment_markdown

        subject = small_network.build_subject(
            None,
            data,
            points=400,
            widths=widths,
            activation="relu",
            bias=True,
            epochs=epochs,
            save=None,
            lower=None,
            upper=None,
            seed=seed,
        )
        planar = subject.planar
        assert planar is not None  # noqa: S101  (there is data; tells the type checker)
        a, towards = closest_to_boundary(subject.network, planar.points, planar.labels)
        pieces = read_network(subject.network)
        b = _most_crossing(pieces, a, step)
        document = {
            "experiment": "figure1",
            **study(subject, out, "figure1", (a, b), _MOST_REGIONS),
            "elsewhere": {
                "directions": _DIRECTIONS,
                "towards_boundary": _crossed(pieces, a, a + step * towards),
                **_at_random(pieces, subject, step, seed),
            },
        }
        document["verdict"] = _verdict(document)
        document["files"].append(str(out / "figure1.md"))
        write_json(out / "figure1.json", document)
        write_whole(out / "figure1.md", experiment_markdown(document))
    return document


def _crossed(network: "PiecewiseLinear", a: "Floats", b: "Floats") -> int:
    from bandlimiter.geometry import segment_crossings

    return sum(segment_crossings(network, a, b).crossings.values())


def _most_crossing(network: "PiecewiseLinear", a: "Floats", length: float) -> "Floats":
    """Return the end of the step of this length from A that crosses most, the first of several."""
    import numpy as np

    angles = np.arange(_DIRECTIONS) * 2 * np.pi / _DIRECTIONS
    ends = a + length * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    counts = [_crossed(network, a, end) for end in ends]
    return np.asarray(ends[int(np.argmax(counts))])


def _at_random(
    network: "PiecewiseLinear", subject: "Subject", length: float, seed: int
) -> dict[str, Any]:
    """Count what steps of this length cross that start anywhere in the box and point anywhere."""
    import math
    from statistics import mean

    import numpy as np
    import torch

    from bandlimiter.tensors import generator

    low, high = np.asarray(subject.lower), np.asarray(subject.upper)
    drawn = torch.rand(_ELSEWHERE, 3, generator=generator(seed, "steps"), dtype=torch.float64)
    counts = []
    for x, y, turn in drawn.tolist():
        start = low + (high - low) * np.array([x, y])
        angle = 2 * math.pi * turn
        end = start + length * np.array([math.cos(angle), math.sin(angle)])
        counts.append(_crossed(network, start, end))
    return {"count": len(counts), "mean": mean(counts), "largest": max(counts)}


def _verdict(document: dict[str, Any]) -> str:
    """Say what is seen of the paper's statement."""
    crossed = sum(document["step"]["crossings"].values())
    elsewhere = document["elsewhere"]
    return (
        f"A step of {document['step']['length']:.3g} crosses up to {crossed} hyperplanes from a "
        f"point near the decision boundary, and {elsewhere['mean']:.1f} on average from anywhere: "
        "many are crossed in some places and directions, few in most."
    )
