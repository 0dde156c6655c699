"""The two rules written out for one input, in exact arithmetic, from their statement."""

from fractions import Fraction

BETS = [Fraction(c, 100) for c in (15, 40, 70, 90, 99)]
WEIGHTS = [Fraction(w, 100) for w in (5, 10, 15, 20, 50)]


def leader_of(sums):
    return max(range(len(sums)), key=lambda j: (sums[j], -j))


def capitals(scores, total):
    """Yield, after each point, the sums so far and the capital against each class."""
    classes = len(scores[0])
    sums = [Fraction(0)] * classes
    bets = [[Fraction(1)] * len(BETS) for _ in range(classes)]
    for t, point in enumerate(scores):
        if t > 0:
            a = leader_of(sums)
            for j in range(classes):
                gained = sum(((p[a] - p[j] + 1) / 2 for p in scores[:t]), Fraction(0))
                mean = (Fraction(total, 2) - gained) / (total - t)
                y = (point[a] - point[j] + 1) / 2
                if mean > 0:
                    bets[j] = [
                        k * (1 + c / mean * (y - mean)) for k, c in zip(bets[j], BETS, strict=True)
                    ]
        sums = [s + p for s, p in zip(sums, point, strict=True)]
        yield sums, [sum(w * k for w, k in zip(WEIGHTS, ks, strict=True)) for ks in bets]


def stop(scores, rule, alpha=None):
    """The number of points at the decision and the class announced, for scores in order."""
    total = len(scores)
    for t, (sums, capital) in enumerate(capitals(scores, total), start=1):
        a = leader_of(sums)
        out = [sums[a] - sums[j] > total - t for j in range(len(sums))]
        if rule == "anytime":
            out = [o or k >= 1 / alpha for o, k in zip(out, capital, strict=True)]
        if t == total or all(out[j] for j in range(len(sums)) if j != a):
            return t, a
    raise AssertionError
