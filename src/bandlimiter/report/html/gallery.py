"""Images of a run to look at: clean, adversarial, the difference, scores, votes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandlimiter.report.html.pictures import magnified, png_uri
from bandlimiter.report.tables import Study
from bandlimiter.report.tables.attacks import attack_name
from bandlimiter.results.runs import Arrays, ShardResult

_SHOWN = 12
_BYTES = 4_000_000
"""What a page spends on images: so many examples and so many bytes at most, in a run."""

_TOP = 5


@dataclass(frozen=True)
class Score:
    """One class of one image: shares in [0, 1] of both models and of the samples' votes."""

    name: str
    right: bool
    plain: float
    defended: float
    votes: float
    count: int


@dataclass(frozen=True)
class Example:
    """One adversarial image, ready to be shown."""

    title: str
    alt: str
    clean: str
    adversarial: str
    difference: str
    factor: int
    length: float
    samples: int
    scores: Mapping[str, Sequence[Score]]
    """``clean`` and ``adversarial``, each with the classes that matter most."""


@dataclass(frozen=True)
class Gallery:
    """What is shown, and of how many."""

    examples: Sequence[Example]
    of: int


def gallery_of(study: Study, results: Iterable[ShardResult]) -> Gallery:
    """Choose examples: an attack after the other, so that few images show all of them."""
    waiting: dict[tuple[str, str], list[tuple[Mapping[str, Any], Arrays]]] = {}
    count = 0
    for facts, arrays in _examples(results):
        count += 1
        queue = waiting.setdefault((str(facts["attack"]), str(facts["protocol"])), [])
        if len(queue) < _SHOWN:
            queue.append((facts, arrays))
    shown: list[Example] = []
    size = 0
    for facts, arrays in _in_turn(list(waiting.values())):
        if len(shown) == _SHOWN:
            break
        example = _example(study, facts, arrays)
        size += len(example.clean) + len(example.adversarial) + len(example.difference)
        if shown and size > _BYTES:
            break
        shown.append(example)
    return Gallery(shown, count)


def _examples(results: Iterable[ShardResult]) -> Iterator[tuple[Mapping[str, Any], Arrays]]:
    for result in results:
        for number, facts in enumerate(result.facts.get("exhibits", ())):
            start = f"exhibit.{number}."
            yield (
                facts,
                {
                    name.removeprefix(start): array
                    for name, array in result.arrays.items()
                    if name.startswith(start)
                },
            )


def _in_turn(queues: Sequence[Sequence[Any]]) -> Iterator[Any]:
    for number in range(max(map(len, queues), default=0)):
        yield from (queue[number] for queue in queues if number < len(queue))


def _example(study: Study, facts: Mapping[str, Any], arrays: Arrays) -> Example:
    clean, adversarial = (
        np.asarray(arrays[key], dtype=np.float64) for key in ("clean", "adversarial")
    )
    change, factor = magnified(clean, adversarial)
    label = int(facts["label"])
    name, attack = study.class_name(label), attack_name(str(facts["attack"]))
    title = f"Image {facts['image']}, {name}: {attack} {facts['protocol']}"
    if facts.get("status"):
        title += f", {facts['status']}"
    return Example(
        title=title,
        alt=f"image {facts['image']} ({name})",
        clean=png_uri(clean),
        adversarial=png_uri(adversarial),
        difference=png_uri(change),
        factor=factor,
        length=255 * float(np.abs(adversarial - clean).max(initial=0.0)),
        samples=int(arrays["votes"][0].sum()),
        scores={
            kind: _scores(study, label, *(arrays[key][i] for key in ("plain", "defended", "votes")))
            for i, kind in enumerate(("clean", "adversarial"))
        },
    )


def _scores(
    study: Study,
    label: int,
    plain: NDArray[Any],
    defended: NDArray[Any],
    votes: NDArray[Any],
) -> list[Score]:
    shares = votes / max(1, int(votes.sum()))
    best = np.maximum(np.maximum(plain, defended), shares)
    order = np.argsort(-best, kind="stable")[:_TOP]
    return [
        Score(
            study.class_name(int(each)),
            int(each) == label,
            float(plain[each]),
            float(defended[each]),
            float(shares[each]),
            int(votes[each]),
        )
        for each in order
    ]
