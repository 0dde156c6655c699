"""Attacks against those of Foolbox and of AutoAttack's authors: seconds, evaluations, survivors.

OMP_NUM_THREADS=2 python benchmarks/attack_peers.py pgd minimal apgd square [--limit N] [...]

``pgd`` is the whole budget on the plain model (40 steps of 1/30), ``minimal`` the smallest budget
(our bisection around both: Foolbox's takes a budget for each image, and its random start, here);
``apgd`` and ``square`` are on the defended model, against pyautoattack's. All finds are judged by
the float32 model, the plain model's also by the defence. One turn each: ours as `evaluate` searches
(fast copies, part of the points), ours in float32 along all points, and theirs.
"""

import time
from collections.abc import Callable
from typing import Any

import torch
from timing import begin, end, model_parser
from torch import nn

from bandlimiter import PostAverage, load_data, load_model
from bandlimiter.attacks import APGD, Attack, AttackedModel, Randomness, Square, build_attack
from bandlimiter.attacks.base import AttackResult, grade
from bandlimiter.attacks.pgd import PGD
from bandlimiter.evaluation.defence_under_test import DefenceUnderTest
from bandlimiter.evaluation.precision import make_copies, of_each_kind
from bandlimiter.results import paired_difference

FAST, EXACT = "ours", "ours, float32"
STEPS, RATE = 40, 1 / 30


class Counted(nn.Module):
    """Counts the inputs that a model is given."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.inputs = model, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the model's answer: [N, ...] -> logits."""
        self.inputs += len(x)
        return self.model(x)


class Setting:
    """Models, images that they have right, and the budget."""

    def __init__(self, args: Any, budget: float) -> None:
        self.plain = load_model(args.model, args.weights).module.eval().requires_grad_(False)
        data = load_data(args.data, args.limit)
        x, self.epsilon, self.seed = data.images(0, len(data)), budget, 0
        self.defence = PostAverage(self.plain, args.radius)
        copies = make_copies(self.plain, x[:1])
        if copies is None:
            raise SystemExit("expected a model with a fast copy")
        self.copies = copies
        given = {"random": False, "randomness": Randomness(), "stop": "exact"}
        self.fast = DefenceUnderTest(
            *("ours", self.defence, self.plain, x[:1]),
            **given,
            copies=copies,
            gradient_points="part",
        )
        plain = AttackedModel(self.plain)
        self.fast.measure(of_each_kind(plain, x[:4], data.labels[:4], budget), 0.0)
        right = (plain.predict(x) == data.labels) & (self.answers(x) == data.labels)
        self.x, self.labels = x[right], data.labels[right]

    def plainly(self, fast: bool) -> AttackedModel:
        """Return the plain model as attacks see it."""
        return AttackedModel(self.plain, differentiable=self.copies.gradients if fast else None)

    def defended(self, fast: bool) -> AttackedModel:
        """Return the defence as attacks see it."""
        if not fast:
            return AttackedModel(self.defence)
        return self.fast.attacked()

    def answers(self, x: torch.Tensor) -> torch.Tensor:
        """Return the defence's labels."""
        return self.fast.labels(x, range(len(x)))

    def judged(self, model: nn.Module, candidates: torch.Tensor) -> AttackResult:
        """Return what a float32 model says of candidates."""
        return grade(AttackedModel(model), self.x, self.labels, candidates, self.epsilon)


def ours(attack: Attack, target: AttackedModel, setting: Setting) -> tuple[torch.Tensor, int]:
    found = attack(target, setting.x, setting.labels, epsilon=setting.epsilon)
    return found.images, target.queries + target.gradients


def foolbox_pgd(setting: Setting) -> tuple[torch.Tensor, int]:
    import foolbox

    counted = Counted(setting.plain)
    model = foolbox.PyTorchModel(counted, bounds=(0, 1))
    attack = foolbox.attacks.LinfPGD(rel_stepsize=RATE, steps=STEPS)
    _, found, _ = attack(model, setting.x, setting.labels, epsilons=setting.epsilon)
    return found, counted.inputs


def foolbox_minimal(setting: Setting) -> tuple[torch.Tensor, int]:
    """Foolbox's PGD inside the search of `MinimalPGD`: a first run at 0.3, then 20 bisections."""
    import eagerpy
    import foolbox

    counted = Counted(setting.plain)
    model = foolbox.PyTorchModel(counted, bounds=(0, 1))

    class EachItsOwn(foolbox.attacks.LinfPGD):
        """With a budget for each image, of which its random start takes a share."""

        def get_random_start(self, x0: Any, epsilon: Any) -> Any:
            return x0 + eagerpy.uniform(x0, x0.shape, -1, 1) * epsilon

        def project(self, x: Any, x0: Any, epsilon: Any) -> Any:
            return x0 + eagerpy.maximum(eagerpy.minimum(x - x0, epsilon), -epsilon)

    attack = EachItsOwn(rel_stepsize=RATE, steps=STEPS)
    x, labels = setting.x, setting.labels
    best = x.clone()
    low, high = torch.zeros(len(x)), torch.full((len(x),), torch.inf)
    budget = torch.full_like(low, 0.3)
    for number in range(21):
        widths = eagerpy.astensor(budget.view(-1, 1, 1, 1))
        found = attack.run(model, x, foolbox.criteria.Misclassification(labels), epsilon=widths)
        with torch.no_grad():
            hit = counted(found).argmax(dim=1) != labels
        length = (found - x).flatten(1).abs().amax(dim=1)
        old = (best - x).flatten(1).abs().amax(dim=1)
        closer = hit & ((old == 0) | (length < old))
        best[closer] = found[closer]
        if number == 0 and not hit.all():
            raise SystemExit("expected every image broken at 0.3")
        low, high = torch.where(hit, low, budget), torch.where(hit, budget, high)
        budget = (low + high) / 2
    return best, counted.inputs


def pyautoattack(name: str, setting: Setting, args: Any) -> tuple[torch.Tensor, int]:
    from pyautoattack.autopgd_base import APGDAttack
    from pyautoattack.square import SquareAttack

    counted = Counted(setting.defence)
    shared = {"norm": "Linf", "eps": setting.epsilon, "n_restarts": 1, "seed": 0}
    if name == "apgd":
        attack = APGDAttack(counted, n_iter=args.steps, loss="ce", **shared)
    else:
        attack = SquareAttack(counted, n_queries=args.queries - 1, p_init=0.8, **shared)
    return attack.perturb(setting.x, setting.labels).detach(), counted.inputs


def contestants(name: str, setting: Setting, args: Any) -> dict[str, Callable[[], Any]]:
    on_plain = name in ("pgd", "minimal")
    attack: Attack = {
        "pgd": PGD(STEPS, RATE),
        "minimal": build_attack("pgd", "minimal"),
        "apgd": APGD(steps=args.steps),
        "square": Square(queries=args.queries),
    }[name]
    target = setting.plainly if on_plain else setting.defended
    own = {
        FAST: lambda: ours(attack, target(True), setting),
        EXACT: lambda: ours(attack, target(False), setting),
    }
    if on_plain:
        theirs = foolbox_pgd if name == "pgd" else foolbox_minimal
        return {**own, "Foolbox": lambda: theirs(setting)}
    return {**own, "pyautoattack": lambda: pyautoattack(name, setting, args)}


def main() -> None:
    given = model_parser(__doc__ or "", limit=64)
    given.add_argument("attacks", nargs="+", choices=["pgd", "minimal", "apgd", "square"])
    given.add_argument("--radius", type=float, default=6.0)
    given.add_argument("--budget", type=float, default=8.0, help="in 255ths")
    given.add_argument("--steps", type=int, default=50)
    given.add_argument("--queries", type=int, default=500)
    args = given.parse_args()
    described = begin("foolbox", "pyautoattack", threads=args.threads)
    setting = Setting(args, args.budget / 255)
    numbers: dict[str, Any] = {"machine": described}
    for name in args.attacks:
        print(f"{name}: {len(setting.x)} images, budget {args.budget:g}/255")
        numbers[name] = _compared(contestants(name, setting, args), name, setting)
    end(args.json, numbers)


def _compared(
    calls: dict[str, Callable[[], Any]], name: str, setting: Setting
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    outcomes: dict[str, torch.Tensor] = {}
    for who, call in calls.items():
        torch.manual_seed(0)
        wall, cpu = time.perf_counter(), time.process_time()
        candidates, evaluations = call()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        on_plain = name in ("pgd", "minimal")
        result = setting.judged(setting.plain if on_plain else setting.defence, candidates)
        if on_plain:  # images that the defence brings back
            outcomes[who] = (setting.answers(result.images) == setting.labels) & result.found
        else:
            outcomes[who] = ~result.within
        first = next(iter(outcomes.values()))
        only = int((first & ~outcomes[who]).sum()), int((outcomes[who] & ~first).sum())
        value, low, high = paired_difference(*only, len(first))
        found[who] = {
            "seconds": wall,
            "cpu seconds": cpu,
            "evaluations": evaluations / len(setting.x),
            "found": int(result.found.sum()),
            "median linf in 255ths": 255 * float(result.linf[result.found].median()),
            "brought back by the defence" if on_plain else "survivors": int(outcomes[who].sum()),
            "ours less theirs": (value, low, high),
        }
        seconds = found[who]["seconds"] / found[FAST]["seconds"]
        print(f"  {who:14} {seconds:5.2f} times ours: {_said(found[who])}", flush=True)
    return found


def _said(found: dict[str, Any]) -> str:
    parts = []
    for key, value in found.items():
        numbers = value if isinstance(value, tuple) else (value,)
        parts.append(f"{key} {' '.join(f'{number:.4g}' for number in numbers)}")
    return ", ".join(parts)


if __name__ == "__main__":
    main()
