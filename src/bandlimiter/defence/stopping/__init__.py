"""Early stopping: the full average's decision from a part of its evaluations.

`rules` says when a decision is safe, `rounds` spends the evaluations, `order` draws the
order in which the points are taken.
"""

from bandlimiter.defence.stopping.order import draw_orders
from bandlimiter.defence.stopping.rounds import Answers, Spending, answer_in_rounds
from bandlimiter.defence.stopping.rules import (
    AnytimeRule,
    ExactRule,
    build_rule,
    earliest,
    require_level,
)

__all__ = [
    "Answers",
    "AnytimeRule",
    "ExactRule",
    "Spending",
    "answer_in_rounds",
    "build_rule",
    "draw_orders",
    "earliest",
    "require_level",
]
