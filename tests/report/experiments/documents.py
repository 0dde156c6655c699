"""Documents of experiments, from rows by the code that real runs use."""

from bandlimiter.results import OURS
from bandlimiter.results.sweep_points import sweep_point, under_budget
from tests.results.test_results import row

EPSILON = 8 / 255

SETTINGS = {
    "model": "cifar-resnet110",
    "paper_data": "cifar10",
    "paper_radius": 6.0,
    "scale": None,
    "sampler": "directions",
    "vote": "softmax",
    "data": "cifar10",
    "seed": 0,
    "quick": False,
}


def rows(attack, protocol, found, broken, images=10):
    """The first ``broken`` images are adversarial and wrong, the next up to ``found`` come back."""
    made = []
    for i in range(images):
        length = (i + 1) / 255 if i < found else None
        after = None if length is None else (5 if i < broken else 3)
        made.append(row(i, found=length, after=after, attack=attack, protocol=protocol))
    return made


def at(all_rows, *, radius=6.0, directions=15, epsilon=EPSILON, seconds=None):
    found = sweep_point(all_rows, OURS, radius=radius, directions=directions, epsilon=epsilon)
    return {**found, "radius_pixels": 0.226 * radius, "seconds": seconds}


def document(experiment, points, **settings):
    return {
        "experiment": experiment,
        "settings": {**SETTINGS, **settings},
        "points": points,
        "runs": [],
        "warnings": [],
        "verdict": "What follows.",
    }


def table1(**settings):
    attacks = [("fgsm", 8, 4), ("pgd", 8, 1), ("deepfool", 7, 2), ("cw", 0, 0)]
    made = [
        each for name, found, broken in attacks for each in rows(name, "minimal", found, broken)
    ]
    made += [*rows("fgsm", "fixed", 6, 6), *rows("pgd", "fixed", 8, 8)]
    return document("table1", [at(made)], **settings)


def table2(**settings):
    points = []
    for k, ratio in ((6, 20.0), (15, 50.0), (30, 100.0), (45, 150.0)):
        seconds = {
            "plain": 0.01,
            "plain_interval": [0.009, 0.011],
            "defended": 0.01 * ratio,
            "defended_interval": [0.009 * ratio, 0.011 * ratio],
            "ratio": ratio,
        }
        made = [*rows("pgd", "minimal", 8, 1), *rows("pgd", "fixed", 8, 8)]
        points.append(at(made, directions=k, seconds=seconds))
    return document("table2", points, **settings)


def figure2(**settings):
    points = []
    for radius, broken in ((12.0, 6), (3.0, 2), (6.0, 1)):  # in no order
        made = [*rows("fgsm", "minimal", 8, broken + 1), *rows("pgd", "minimal", 8, broken)]
        points.append(at([*made, *rows("pgd", "fixed", 8, 8)], radius=radius))
    return document("figure2", points, **settings)


def figure3(**settings):
    smallest = [*rows("fgsm", "minimal", 8, 3), *rows("pgd", "minimal", 8, 1)]
    points = []
    for budget, whole in ((0.5, 0), (2, 5), (8, 8), (32, 8)):
        fixed = rows("pgd", "fixed", whole, whole)
        made = [*under_budget(smallest, budget / 255), *fixed]
        points.append(at(made, epsilon=budget / 255))
    return document("figure3", points, **settings)


ALL = {"table1": table1, "table2": table2, "figure2": figure2, "figure3": figure3}
