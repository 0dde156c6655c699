"""What the studies look at: a network in its normalised input space, images, adversarial images."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from ledger import Clock, require_same
from torch import nn

from bandlimiter import load_data, load_model
from bandlimiter.attacks import AttackedModel, build_attack
from bandlimiter.errors import BandlimiterError, ConfigurationError
from bandlimiter.evaluation.adversarial_sets import read_adversarial, write_adversarial
from bandlimiter.geometry.graph import Graph, read_graph
from bandlimiter.tensors import generator
from bandlimiter.tensors.normalise import Normalise

EPSILON = 8 / 255
"""The fixed budget, L-inf in pixels; a minimal search does not look at it."""

BATCH = 20
"""Images that are attacked together: what a stopped run loses at most."""


@dataclass(frozen=True)
class Subject:
    """A network with images that it classifies rightly.

    Attributes
    ----------
    name
        As the model was asked for.
    module
        [N, C, H, W] pixels in [0, 1] -> logits, float32: what is attacked.
    normaliser
        Its first layer, in float64.
    graph
        What comes after it, in float64: what is traced, in normalised units.
    pixels, labels, ids
        [N, C, H, W], [N] and [N]: the first N images that are classified rightly.
    """

    name: str
    module: nn.Module
    normaliser: Normalise
    graph: Graph
    pixels: torch.Tensor
    labels: torch.Tensor
    ids: torch.Tensor

    def points(self, pixels: torch.Tensor) -> torch.Tensor:
        """Normalise pixels [N, C, H, W] in float64."""
        return self.normaliser(pixels.double())

    def __len__(self) -> int:
        return len(self.ids)


def parser(about: str, *, limit: int, model: bool = True) -> argparse.ArgumentParser:
    """Return the options that the studies share."""
    options = argparse.ArgumentParser(description=about.splitlines()[0])
    if model:
        options.add_argument("--model", required=True, help="as for bandlimiter evaluate")
        options.add_argument("--weights", type=Path)
    options.add_argument("--data", required=True, help="as for bandlimiter evaluate")
    options.add_argument("--limit", type=int, default=limit, help="images; default: %(default)s")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--out", type=Path, required=True, help="a folder; a stopped run goes on")
    return options


def run(main: Callable[[argparse.Namespace], None], options: argparse.ArgumentParser) -> None:
    """Run a study; the library's own errors end it in one line, with exit code 2."""
    args = options.parse_args()
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        main(args)
    except (BandlimiterError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)


def load_subject(args: argparse.Namespace) -> Subject:
    """Load the model and the first ``limit`` images that it classifies rightly."""
    classifier = load_model(args.model, args.weights)
    module = classifier.module.requires_grad_(False)
    if not (isinstance(module, nn.Sequential) and isinstance(module[0], Normalise)):
        raise ConfigurationError(
            f"expected a model that begins with its normaliser, got {args.model}; name one of "
            "the library's own"
        )
    about = {"model": args.model, "weights": str(args.weights and args.weights.name)}
    require_same(
        args.out / "subject.json", {**about, "data": Path(args.data).name, "seed": args.seed}
    )
    pixels, labels, ids = _rightly_classified(module, args.data, args.limit)
    graph = read_graph(module[1:], tuple(pixels.shape[1:]))
    normaliser = Normalise(module[0].mean.flatten().tolist(), module[0].std.flatten().tolist())
    return Subject(args.model, module, normaliser.double(), graph, pixels, labels, ids)


def _rightly_classified(module: nn.Module, name: str, limit: int) -> tuple[torch.Tensor, ...]:
    data, target = load_data(name), AttackedModel(module)
    found: list[tuple[torch.Tensor, ...]] = []
    for start in range(0, len(data), BATCH):
        stop = min(start + BATCH, len(data))
        pixels, labels, ids = (
            data.images(start, stop),
            data.labels[start:stop],
            data.ids[start:stop],
        )
        right = target.predict(pixels) == labels
        found.append((pixels[right], labels[right], ids[right]))
        if sum(len(part[2]) for part in found) >= limit:
            break
    pixels, labels, ids = (torch.cat(column)[:limit] for column in zip(*found, strict=True))
    if len(ids) < limit:
        raise ConfigurationError(
            f"expected {limit} images that {name} classifies rightly, got {len(ids)}; ask for fewer"
        )
    return pixels, labels, ids


def adversarial(subject: Subject, protocol: str, folder: Path, seed: int) -> torch.Tensor:
    """Return PGD's adversarial images [N, C, H, W]; the original where nothing was found.

    They are kept in ``folder``, so that other studies of it and a second run find them.
    """
    path = folder / f"adversarial-pgd-{protocol}.safetensors"
    target = AttackedModel(subject.module)
    known = _saved(subject, target, path) if path.is_file() else {}
    missing = [row for row, key in enumerate(subject.ids.tolist()) if key not in known]
    clock, attack = Clock(f"PGD, {protocol}", len(missing)), build_attack("pgd", protocol)
    for start in range(0, len(missing), BATCH):
        rows = torch.tensor(missing[start : start + BATCH])
        ids = subject.ids[rows].tolist()
        result = attack(
            target, subject.pixels[rows], subject.labels[rows], epsilon=EPSILON, ids=ids, seed=seed
        )
        known.update(zip(ids, result.images, strict=True))
        begun = path.with_suffix(".begun")  # put in place when whole: a stop never damages it
        write_adversarial(
            begun, torch.stack(list(known.values())), torch.tensor(list(known)), attack="pgd"
        )
        begun.replace(path)
        clock.step(len(rows))
    return torch.stack([known[key] for key in subject.ids.tolist()])


def _saved(subject: Subject, target: AttackedModel, path: Path) -> dict[int, torch.Tensor]:
    saved = read_adversarial(path)
    ids = subject.ids.tolist()
    result = saved(target, subject.pixels, subject.labels, epsilon=EPSILON, ids=ids)
    return {key: result.images[row] for row, key in enumerate(ids) if result.found[row]}


def directions(like: torch.Tensor, count: int, seed: int, *name: int | str) -> torch.Tensor:
    """Draw ``count`` isotropic unit vectors of one point's shape: [count, ...] float64."""
    drawn = torch.randn(count, *like.shape, generator=generator(seed, *name), dtype=torch.float64)
    return unit(drawn)


def unit(vectors: torch.Tensor) -> torch.Tensor:
    """Divide each of [N, ...] by its length."""
    return vectors / lengths(vectors).view(-1, *[1] * (vectors.ndim - 1))


def lengths(vectors: torch.Tensor) -> torch.Tensor:
    """Return the Euclidean lengths [N] of [N, ...]."""
    return vectors.flatten(1).norm(dim=1)
