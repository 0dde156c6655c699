"""The small network that a command studies: from a file, from a function, or trained here."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bandlimiter.errors import ConfigurationError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from bandlimiter.data import PlanarSet

_PANEL = "Network"
_REACH = 1.5

Network = Annotated[
    str | None,
    typer.Option(
        help="A perceptron's weights (.safetensors, .pt, .pth, .th) or MODULE:FUNCTION, of 1 "
        "to 4 inputs. Default: train one on --data, here and now.",
        rich_help_panel=_PANEL,
    ),
]
WeightsKey = Annotated[
    str | None,
    typer.Option(
        help="The part of that file to load, where it holds several networks.",
        rich_help_panel=_PANEL,
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        help="moons, circles or blobs: points of the square [-1, 1]^2. Default: moons, "
        "unless --network is given.",
        rich_help_panel=_PANEL,
    ),
]
Points = Annotated[int, typer.Option(help="How many training points.", rich_help_panel=_PANEL)]
Widths = Annotated[
    str, typer.Option(help="Units of each hidden layer to train.", rich_help_panel=_PANEL)
]
Activation = Annotated[
    str, typer.Option(help="relu, leaky_relu or hardtanh.", rich_help_panel=_PANEL)
]
Bias = Annotated[bool, typer.Option(help="Train with biases.", rich_help_panel=_PANEL)]
Epochs = Annotated[int, typer.Option(help="Steps of training.", rich_help_panel=_PANEL)]
Save = Annotated[
    Path | None,
    typer.Option(help="Keep the trained network (.safetensors).", rich_help_panel=_PANEL),
]
Lower = Annotated[
    str | None,
    typer.Option(
        help="The box's lower corner: a number, or one for each axis (-1,-2). Default: "
        f"-{_REACH} for --data, else -1.",
        rich_help_panel="Box",
    ),
]
Upper = Annotated[
    str | None, typer.Option(help="The box's upper corner, likewise.", rich_help_panel="Box")
]
Limit = Annotated[
    int, typer.Option(help="Stop where there are more regions.", rich_help_panel="Box")
]


@dataclass(frozen=True)
class Subject:
    """A network, the box to look at it in, and what it was trained on."""

    network: "nn.Module"
    planar: "PlanarSet | None"
    lower: "float | NDArray[np.float64]"
    upper: "float | NDArray[np.float64]"
    settings: dict[str, Any]


def build_subject(
    network: str | None,
    data: str | None,
    *,
    points: int,
    widths: str,
    activation: str,
    bias: bool,
    epochs: int,
    save: Path | None,
    lower: str | None,
    upper: str | None,
    seed: int,
    weights_key: str | None = None,
) -> Subject:
    """Load or train the network, and read the box."""
    from bandlimiter.data import load_planar
    from bandlimiter.geometry import read_network
    from bandlimiter.models import (
        build_perceptron,
        load_small_network,
        save_perceptron,
        train_perceptron,
    )

    settings: dict[str, Any] = {"network": network, "seed": seed}
    if network is None and data is None:
        data = "moons"
    planar = None if data is None else load_planar(data, points=points, seed=seed)
    if planar is not None:
        settings |= {"data": planar.name, "points": len(planar.points)}
    if network is not None:
        if save is not None:
            raise ConfigurationError("expected --save with a network trained here, not --network")
        module = load_small_network(network, weights_key=weights_key)
        if planar is not None and read_network(module).dim != 2:
            raise ConfigurationError(
                f"expected a network of 2 inputs for --data {planar.name}, got "
                f"{read_network(module).dim}"
            )
    else:
        assert planar is not None  # noqa: S101  (a name was set above; tells the type checker)
        hidden = _whole_numbers(widths)
        classes = int(planar.labels.max()) + 1
        module = build_perceptron(
            (2, *hidden, classes), bias=bias, activation=activation, seed=seed
        )
        accuracy = train_perceptron(module, planar.points, planar.labels, epochs=epochs)
        settings |= {"widths": hidden, "activation": activation, "bias": bias, "epochs": epochs}
        settings["training_accuracy"] = accuracy
        if save is not None:
            save_perceptron(module, save)
    reach = 1.0 if planar is None else _REACH
    low = -reach if lower is None else _corner(lower, "--lower")
    high = reach if upper is None else _corner(upper, "--upper")
    return Subject(module, planar, low, high, settings)


def read_point(text: str, name: str) -> "NDArray[np.float64]":
    """Read ``0.1,-0.2`` as a point.

    Raises
    ------
    ConfigurationError
        (a ValueError) for anything else.
    """
    import numpy as np

    try:
        return np.array([float(part) for part in text.split(",")])
    except ValueError:
        raise ConfigurationError(
            f"expected {name} as numbers with commas, like 0.1,-0.2; got {text!r}"
        ) from None


def _corner(text: str, name: str) -> "float | NDArray[np.float64]":
    numbers = read_point(text, name)
    return float(numbers[0]) if len(numbers) == 1 else numbers


def _whole_numbers(text: str) -> Sequence[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ConfigurationError(f"expected --widths like 16,16; got {text!r}") from None
