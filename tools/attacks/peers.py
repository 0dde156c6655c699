"""Hold our Square and APGD against those of ART and of AutoAttack's authors, on a plain model.

All candidates are graded by the library's own base: an image counts where it is wrong now
and within the budget. Set equal: the correctly classified images, the budget, one random
start; Square's answers an image (the stripes and one proposal less than ``--queries``), its
first area of 0.8, the margin as its loss and the schedule stretched to the queries; APGD's
steps, cross-entropy and a first step of twice the budget. Not equal, being their own ways:
ART and pyautoattack put one square at one place in all images of a batch; ART's APGD returns
its last point where that is adversarial, and does not stop before; ART's Square asks about
every point three times, and about images that are done. So ``evaluations`` are what each one
spent in truth, the base's last look included::

    python tools/attacks/peers.py --model cifar-resnet20 --weights FILE --data npz:FILE

prints, for each budget, the share of images that each attack breaks with its 95 % interval,
how much larger ours is with Tango's paired interval, evaluations an image, and seconds.
``--targets`` compares targeted PGD and APGD with ART's instead, PGD of equal steps of 2.5
budgets in all::

    python tools/attacks/peers.py --model sample --data sample --limit 50 --targets least-likely
"""

import argparse
import random
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from bandlimiter import load_data, load_model
from bandlimiter.attacks import APGD, PGD, Attack, AttackedModel, AttackInput, Goal, Square
from bandlimiter.attacks.base import grade
from bandlimiter.evaluation.targets import RULES, Targets
from bandlimiter.results import paired_difference, rate

Candidates = Callable[[nn.Module, torch.Tensor, Goal, float], torch.Tensor]


class Counted(nn.Module):
    """Counts the inputs that a model is given."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.inputs = model, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the model's answer: [N, ...] -> logits."""
        self.inputs += len(x)
        return self.model(x)


# --- the attacks: each maps a model, images, a goal and a budget to candidates ------------


def our_square(args: argparse.Namespace) -> Candidates:
    return _ours(Square(args.queries, args.norm), args)


def our_apgd(args: argparse.Namespace) -> Candidates:
    return _ours(APGD(args.steps, norm=args.norm), args)


def our_pgd(args: argparse.Namespace) -> Candidates:
    return _ours(PGD(args.steps, rate=2.5 / args.steps), args)


def _ours(attack: Attack, args: argparse.Namespace) -> Candidates:
    return lambda model, x, goal, epsilon: attack.run(
        AttackInput(
            AttackedModel(model),
            x,
            goal.labels,
            epsilon,
            range(len(x)),
            args.seed,
            goal.target_labels,
        )
    )


def art_square(args: argparse.Namespace) -> Candidates:
    from art.attacks.evasion import SquareAttack

    def run(model: nn.Module, x: torch.Tensor, goal: Goal, epsilon: float) -> torch.Tensor:
        attack = SquareAttack(
            _art_classifier(model, x),
            norm=_art_norm(args),
            max_iter=args.queries - 1,
            eps=epsilon,
            p_init=0.8,
            nb_restarts=1,
            verbose=False,
        )
        return _art_candidates(attack, x, goal)

    return run


def art_apgd(args: argparse.Namespace) -> Candidates:
    from art.attacks.evasion import AutoProjectedGradientDescent

    def run(model: nn.Module, x: torch.Tensor, goal: Goal, epsilon: float) -> torch.Tensor:
        attack = AutoProjectedGradientDescent(
            _art_classifier(model, x),
            targeted=goal.target_labels is not None,
            norm=_art_norm(args),
            eps=epsilon,
            eps_step=2 * epsilon,
            max_iter=args.steps,
            nb_random_init=1,
            batch_size=128,
            loss_type="cross_entropy",
            verbose=False,
        )
        return _art_candidates(attack, x, goal)

    return run


def art_pgd(args: argparse.Namespace) -> Candidates:
    from art.attacks.evasion import ProjectedGradientDescentPyTorch

    def run(model: nn.Module, x: torch.Tensor, goal: Goal, epsilon: float) -> torch.Tensor:
        attack = ProjectedGradientDescentPyTorch(
            _art_classifier(model, x),
            targeted=goal.target_labels is not None,
            norm=np.inf,
            eps=epsilon,
            eps_step=2.5 * epsilon / args.steps,
            max_iter=args.steps,
            num_random_init=1,
            batch_size=128,
            verbose=False,
        )
        return _art_candidates(attack, x, goal)

    return run


def _art_norm(args: argparse.Namespace) -> float:
    return np.inf if args.norm == "linf" else 2


def _art_classifier(model: nn.Module, x: torch.Tensor):
    from art.estimators.classification import PyTorchClassifier

    return PyTorchClassifier(
        model,
        loss=nn.CrossEntropyLoss(),
        input_shape=tuple(x.shape[1:]),
        nb_classes=_classes(model, x),
        clip_values=(0.0, 1.0),
        device_type="cpu" if x.device.type == "cpu" else "gpu",
    )


def _art_candidates(attack, x: torch.Tensor, goal: Goal) -> torch.Tensor:
    given = goal.labels if goal.target_labels is None else goal.target_labels
    labels = np.eye(attack.estimator.nb_classes, dtype=np.float32)[given.cpu().numpy()]
    return torch.from_numpy(attack.generate(x.cpu().numpy(), labels)).to(x)


def authors_square(args: argparse.Namespace) -> Candidates:
    from pyautoattack.square import SquareAttack

    return _authors(SquareAttack, args, n_queries=args.queries - 1, p_init=0.8)


def authors_apgd(args: argparse.Namespace) -> Candidates:
    from pyautoattack.autopgd_base import APGDAttack

    return _authors(APGDAttack, args, n_iter=args.steps, loss="ce")


def _authors(attack: type, args: argparse.Namespace, **settings) -> Candidates:
    norm = {"linf": "Linf", "l2": "L2"}[args.norm]
    return lambda model, x, goal, epsilon: attack(
        model, norm=norm, eps=epsilon, n_restarts=1, seed=args.seed, **settings
    ).perturb(x, goal.labels)


SQUARES = {"ours": our_square, "ART": art_square, "pyautoattack": authors_square}
APGDS = {"ours": our_apgd, "ART": art_apgd, "pyautoattack": authors_apgd}
TARGETED = {
    "targeted PGD": {"ours": our_pgd, "ART": art_pgd},
    "targeted APGD": {"ours": our_apgd, "ART": art_apgd},
}

DEFAULTS = {
    "square": [2 / 255, 8 / 255],
    "gradient": [0.5 / 255, 1 / 255, 2 / 255, 8 / 255],
    "targets": [1 / 255, 2 / 255, 3 / 255],
}
"""Budgets."""


# --- the comparison ----------------------------------------------------------------------


@torch.no_grad()
def _classes(model: nn.Module, x: torch.Tensor) -> int:
    return model(x[:1]).shape[1]


def correct_images(model: nn.Module, args: argparse.Namespace):
    """Return those of the first ``limit`` images that the model gets right, and the goal."""
    data = load_data(args.data, args.limit)
    x, y = data.images(0, len(data)), data.labels
    logits = AttackedModel(model).logits(x)
    wanted = Targets(args.targets).of(logits, y, data.ids) if args.targets else None
    right = logits.argmax(dim=1) == y
    return x[right], Goal(y, wanted)[right]


def compare(
    title: str,
    makers: dict[str, Callable[[argparse.Namespace], Candidates]],
    epsilon: float,
    problem: tuple[nn.Module, torch.Tensor, Goal],
    args: argparse.Namespace,
) -> None:
    """Run one kind of attack in several ways at one budget, and print a line for each."""
    model, x, goal = problem
    broken: dict[str, torch.Tensor] = {}
    for name, make in makers.items():
        random.seed(args.seed)
        np.random.seed(args.seed)  # ART draws from this one
        torch.manual_seed(args.seed)
        counted = Counted(model)
        started = time.perf_counter()
        candidates = make(args)(counted, x.clone(), goal, epsilon)
        seconds = time.perf_counter() - started
        found = grade(AttackedModel(counted), x, goal, candidates.detach(), epsilon, norm=args.norm)
        broken[name] = found.within
        success = rate(int(found.within.sum()), len(x))
        print(
            f"{title:<14}{epsilon * 255:>7.4g}/255  {name:<14}{success.value:.3f} "
            f"({success.low:.3f}, {success.high:.3f})  {_against(broken, name):<24}"
            f"{counted.inputs / len(x):>10.1f}{seconds:>10.1f}",
            flush=True,
        )


def _against(broken: dict[str, torch.Tensor], name: str) -> str:
    """Return how much larger our success is than that of ``name``, with its interval."""
    if name == "ours":
        return ""
    ours, theirs = broken["ours"], broken[name]
    only = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    value, low, high = paired_difference(*only, len(ours))
    return f"{value:+.3f} ({low:+.3f}, {high:+.3f})"


def main(args: argparse.Namespace) -> None:
    model = load_model(args.model, args.weights).module.eval().requires_grad_(False)
    x, goal = correct_images(model, args)
    print(
        f"{args.model}: {len(x)} of {args.limit} images that it gets right, {args.norm}, "
        f"{args.queries} queries, {args.steps} steps, seed {args.seed}, "
        f"targets {args.targets}, "
        f"{torch.get_num_threads()} threads"
    )
    print(
        f"{'attack':<14}{'budget':>11}  {'by':<14}{'success':<22}{'ours is larger by':<24}"
        f"{'evaluations':>10}{'seconds':>9}"
    )
    problem = (model, x, goal)
    gradient = args.gradient_epsilon or DEFAULTS["targets" if args.targets else "gradient"]
    if args.targets:
        kinds = [(title, makers, gradient) for title, makers in TARGETED.items()]
    else:
        kinds = [
            ("Square", SQUARES, args.epsilon or DEFAULTS["square"]),
            ("APGD", APGDS, gradient),
        ]
    for title, makers, budgets in kinds:
        for epsilon in budgets:
            compare(title, makers, epsilon, problem, args)


def pixels(text: str) -> float:
    """Return a budget such as ``8/255`` as a number."""
    numerator, _, denominator = text.partition("/")
    return float(numerator) / float(denominator or 1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--weights")
    parser.add_argument("--data", required=True)
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--norm", choices=("linf", "l2"), default="linf")
    parser.add_argument("--epsilon", type=pixels, action="append", help="for Square; repeat")
    parser.add_argument("--gradient-epsilon", type=pixels, action="append", help="for APGD; repeat")
    parser.add_argument("--targets", choices=RULES, help="compare targeted attacks")
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args())
