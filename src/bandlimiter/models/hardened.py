"""A hardened folder as a model: the architecture that its card names, with its weights."""

from collections.abc import Callable
from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path

from bandlimiter.errors import BandlimiterError, ConfigurationError, LoadError
from bandlimiter.models import cifar
from bandlimiter.models.card import CARD, CHECKPOINT, SEEN, WEIGHTS, read_card, read_seen
from bandlimiter.models.checkpoints import WeightsFile
from bandlimiter.models.classifier import Classifier

_PACKAGED = "sample-hardened"

LoadBase = Callable[[str, Path], Classifier]
"""A model by name, with weights from a file: what the card's base is built with."""


def load_hardened(name: str, weights: WeightsFile | None, load_base: LoadBase) -> Classifier | None:
    """``DIR``, as ``bandlimiter harden --out DIR`` wrote it, or ``sample-hardened``, packaged."""
    if name == _PACKAGED:
        with as_file(files("bandlimiter.assets") / _PACKAGED) as folder:
            return _load(name, folder, weights, load_base)
    folder = Path(name)
    return _load(name, folder, weights, load_base) if folder.is_dir() else None


def _load(name: str, folder: Path, weights: WeightsFile | None, load_base: LoadBase) -> Classifier:
    if weights is not None:
        raise ConfigurationError(f"expected no weights for {name}, which has its own")
    if not (folder / CARD).is_file():
        unfinished = (folder / CHECKPOINT).is_file()
        raise ConfigurationError(
            f"expected a hardened folder with {CARD}, got {name}"
            + (
                ", where training has not ended; give `harden` the same command again"
                if unfinished
                else ", which has none"
            )
        )
    card = read_card(folder / CARD)
    base = card.base_model
    if base is None:
        raise ConfigurationError(
            f"expected a card that names the architecture, but {name} was made from a module in "
            f"Python; give what builds it: --model MODULE:FACTORY --weights {folder / WEIGHTS} "
            f"--sigma {card.sigma:g}"
        )
    try:
        built = load_base(cifar.architecture(base), folder / WEIGHTS)
    except BandlimiterError as error:
        raise LoadError(
            f"expected {base!r}, which {name} was made from: {error}; or give what builds it: "
            f"--model MODULE:FACTORY --weights {folder / WEIGHTS} --sigma {card.sigma:g}"
        ) from error
    seen = read_seen(folder / SEEN)
    return replace(built, name=name, weights=None, weights_key=None, card=card, seen=seen)
