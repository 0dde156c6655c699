"""The simulations of `tools/certificates` against the classes that certify with."""

import numpy as np
import pytest
import torch

from bandlimiter.defence.certificates.sequential import Scores, Votes

RUNS = 10


def decided_by(kind, law, counts, sizes, alpha, give_up, bars):
    """What a class claims of runs whose answers come in blocks, and how many samples it takes.

    ``counts`` [runs, blocks, K] of the law's answers; each run ends where all is decided.
    """
    classes = law.answers.shape[1]
    tests = kind(np.tile(bars, (len(counts), 1)), alpha, give_up, classes)
    spent = np.zeros(len(counts), dtype=np.int64)
    for block, size in enumerate(sizes):
        rows = np.flatnonzero(tests.undecided.any(axis=1))
        if not len(rows):
            break
        answers = [np.repeat(law.answers, counts[row, block], axis=0) for row in rows]
        shares = torch.from_numpy(np.stack(answers))
        tests.observe(rows, shares, torch.zeros(len(rows), dtype=torch.int64))
        spent[rows] += size
    return tests.certified, spent


@pytest.mark.parametrize("alpha", [0.1, 0.001])
@pytest.mark.parametrize("name", ["near tie, below 1/2", "above R = sigma / 2 by 0.02",
                                  "thirty classes, far below", "scores in a U, above by 0.04",
                                  "scores of three, at sigma / 2"])  # fmt: skip
def test_boundaries_decide_as_the_classes_do(tool, name, alpha):
    guarantee, laws = tool("guarantee"), tool("laws")
    law = next(each for each in laws.LAWS if each.name == name)
    sizes = np.diff(guarantee.LOOKS, prepend=0)
    rng = np.random.default_rng(1)
    counts = rng.multinomial(sizes, law.chances, size=(RUNS, len(sizes)))
    totals = counts.cumsum(axis=1)
    if law.votes:
        sure, plain = guarantee.vote_times(totals[:, :, 0])
    else:
        sure, plain = guarantee.score_times(totals, law.answers, 0)
    at = guarantee.ALPHAS.index(alpha)
    claimed, kept, spent = guarantee.decide(sure[at], plain)
    kind = Votes if law.votes else Scores
    for give_up, expected in ((0.0, claimed), (guarantee.GIVE_UP, kept)):
        found, took = decided_by(kind, law, counts, sizes, alpha, give_up, laws.BARS)
        assert np.array_equal(found, expected)
    assert np.array_equal(took, spent - guarantee.SELECTION)  # of the last, which gives up


def test_more_votes_never_undo_a_decision(tool):
    """Which the boundaries rest on: they are found by bisection, and here one by one."""
    guarantee = tool("guarantee")
    for alpha in guarantee.ALPHAS:
        for bar, up in zip(tool("laws").BARS, guarantee.UP[alpha], strict=True):
            for look in (0, 1, 31, 312):
                won = np.arange(guarantee.LOOKS[look] + 1)
                lost = guarantee.LOOKS[look] - won
                reached = guarantee.log_capital(won, lost, bar) >= np.log(1 / alpha)
                assert np.array_equal(reached, won >= up[look])
                plain = guarantee.log_abstention(won, lost, bar) >= np.log(1 / alpha)
                assert np.array_equal(plain, won < plain.sum())


def test_false_certificates_are_as_rare_as_promised(tool):
    """Five standard deviations of 2,000 runs at 0.1 are 0.034."""
    guarantee = tool("guarantee")
    for number, law in enumerate(guarantee.LAWS):
        if law.votes:
            row = guarantee.study(law, 2000, number)[0]
            assert row["false"] <= 2000 * (0.1 + 0.034), law.name
            assert row["usual_false"] <= 2000 * (0.1 + 0.034), law.name


@pytest.mark.parametrize("name", ["mixture", "bets", "union"])
def test_every_rule_keeps_its_level(tool, name):
    """At p = q, where false alarms are most likely; five standard deviations are 0.055."""
    rules, rng = tool("rules"), np.random.default_rng(0)
    won = rng.random((400, 600)) < 0.7
    rejected = rules.RULES[name](won, 0.7, 0.05, rng)
    assert rejected.any(axis=1).mean() <= 0.05 + 0.055
    assert rules.RULES[name](won, 0.5, 0.05, rng).any(axis=1).mean() > 0.95  # and has power
