"""A few images of a run to look at: scores of both models, and how the 6K + 1 samples voted."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bandlimiter.defence import PostAverage
from bandlimiter.defence.votes import VOTES
from bandlimiter.evaluation.evaluator import CleanAnswers, Evaluator
from bandlimiter.results import Row, Status
from bandlimiter.tensors import ChunkLimit, Key, map_chunks, model_logits, place_of

_Arrays = dict[str, NDArray[np.generic]]


def choose_examples(
    evaluator: Evaluator,
    answers: CleanAnswers,
    rows: Sequence[Row],
    found: tuple[torch.Tensor, torch.Tensor],
    most: int,
) -> tuple[list[dict[str, Any]], _Arrays]:
    """Return up to ``most`` examples of what one attack found, defended and broken ones in turn.

    Parameters
    ----------
    evaluator
        Of the defence to show.
    answers, rows
        A slice, and what became of it.
    found
        The adversarial images [n, ...] and their ids [n].
    most
        How many.

    Returns
    -------
    facts, arrays
        For example n: its place in ``facts``, and ``exhibit.n.clean``, ``.adversarial`` [...]
        pixels, ``.plain``, ``.defended`` [2, classes] probabilities for the two, ``.votes``
        [2, classes], how many of the samples name each class.
    """
    name, (images, ids) = evaluator.name, found
    rows = [row for row in rows if row.defence == name and row.adversarial]
    batch, places = answers.of(evaluator), {key: i for i, key in enumerate(ids.tolist())}
    clean_places = {key: i for i, key in enumerate(batch.ids.tolist())}
    facts: list[dict[str, Any]] = []
    arrays: _Arrays = {}
    for number, row in enumerate(_in_turn(rows)[:most]):
        pair = torch.stack([batch.images[clean_places[row.image]], images[places[row.image]]])
        facts.append(
            {key: getattr(row, key) for key in ("image", "label", "attack", "protocol", "threat")}
            | {"defence": name, "status": str(row.status)}
        )
        shown = _shown(evaluator, pair, f"{row.image}/exhibit")
        shown |= {"clean": pair[0], "adversarial": pair[1]}
        for key, value in shown.items():
            arrays[f"exhibit.{number}.{key}"] = value.detach().cpu().numpy()
    return facts, arrays


def _in_turn(rows: Sequence[Row]) -> list[Row]:
    """A defended image, a broken one, and so on: both kinds belong to the truth."""
    kinds = [
        [row for row in rows if row.status is kind] for kind in (Status.DEFENDED, Status.BROKEN)
    ]
    longest = max(map(len, kinds))
    return [kind[i] for i in range(longest) for kind in kinds if i < len(kind)]


@torch.no_grad()
def _shown(evaluator: Evaluator, pair: torch.Tensor, name: Key) -> dict[str, torch.Tensor]:
    module = evaluator.defence.module
    pair = pair.to(place_of(evaluator.plain.model)[1])
    plain = model_logits(evaluator.plain.model, pair).float().softmax(dim=1)
    if not isinstance(module, PostAverage):
        defended = model_logits(module, pair).float().softmax(dim=1)
        return {"plain": plain, "defended": defended, "votes": _one_vote(defended)}
    points = torch.stack([module.neighbours(x, f"{name}{i}") for i, x in enumerate(pair)])
    logits = _logits(module.model, points.flatten(0, 1)).reshape(*points.shape[:2], -1)
    vote, classes = VOTES[module.vote], logits.shape[2]
    winners = logits.argmax(dim=2)
    return {
        "plain": plain,
        "defended": vote.probabilities(vote.scores(logits)).float(),
        "votes": torch.stack([torch.bincount(each, minlength=classes) for each in winners]),
    }


def _logits(model: nn.Module, points: torch.Tensor) -> torch.Tensor:
    """[P, ...] -> [P, classes]."""

    def logits(start: int, stop: int) -> tuple[torch.Tensor]:
        return (model_logits(model, points[start:stop], check=False),)

    (scores,) = map_chunks(logits, len(points), ChunkLimit("auto"), points)
    return scores


def _one_vote(scores: torch.Tensor) -> torch.Tensor:
    return nn.functional.one_hot(scores.argmax(dim=1), scores.shape[1])
