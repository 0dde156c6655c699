"""Adversarial training of the packaged ResNet-20 for the same minutes as `harden`: a baseline.

Madry et al. 2017, in the cheap form of Wong et al. 2020 ("Fast is better than free"): from the
trained network on, a random start and one step of 1.25 times the budget (``--attack-steps`` for
more, of 2.5 budgets in all), one cycle of the rate, averaged weights, bfloat16 and a compiled pass,
batches and augmentation as `harden` has them. The weights are those of the last step::

    python tools/hardening/adversarial.py --data FOLDER --norm linf --epsilon 8/255 --out linf
    python tools/hardening/adversarial.py --data FOLDER --norm l2 --epsilon 0.5 --out l2

Writes ``model.safetensors``, to be read by ``--model cifar-resnet20 --weights FILE``. Killed, it
begins again. ``--pace`` as in ``tools/hardening/study.py``.
"""

import argparse
import time
from fractions import Fraction
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from bandlimiter import load_data, load_model
from bandlimiter.attacks.balls import ball
from bandlimiter.hardening.batches import Batches, crop_and_flip, split
from bandlimiter.hardening.recipes import resolve_recipe
from bandlimiter.hardening.training import Settings, Training
from bandlimiter.tensors import copied, set_training

BATCH, RATE, SEED = 128, 0.05, 0


class Attack:
    """Random start and a few steps along the gradient, within a ball and [0, 1]."""

    def __init__(self, model: nn.Module, norm: str, epsilon: float, steps: int) -> None:
        self._model, self._forward = model, torch.compile(model)
        self._ball, self._norm, self._epsilon, self._steps = ball(norm), norm, epsilon, steps
        self._length = epsilon * (1.25 if steps == 1 else 2.5 / steps)

    def __call__(self, images: torch.Tensor, labels: torch.Tensor, step: int) -> torch.Tensor:
        """Return images [n, ...] moved within the ball."""
        rng = torch.Generator().manual_seed(step)
        noise = torch.rand(images.shape, generator=rng) * 2 - 1
        if self._norm == "l2":  # of a length that is uniform up to the budget
            noise = F.normalize(noise.flatten(1)).view_as(images)
            noise = noise * torch.rand(len(images), 1, 1, 1, generator=rng)
        x = (images + self._epsilon * noise).clamp(0, 1)
        set_training(self._model, mode=False)  # statistics are for the step itself
        for _ in range(self._steps):
            at = x.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
            with torch.autocast("cpu", torch.bfloat16):
                loss = F.cross_entropy(self._forward(at).float(), labels, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, at)
            moved = x + self._length * self._ball.steepest(gradient.float())
            x = self._ball.project(moved, images, self._epsilon)
        return x.detach()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with CIFAR-10")
    parser.add_argument("--norm", choices=("linf", "l2"), required=True)
    parser.add_argument("--epsilon", type=lambda text: float(Fraction(text)), required=True)
    parser.add_argument("--attack-steps", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--pace", type=float, default=1200, help="passes a second when idle")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    model = copied(load_model("sample").module, frozen=False)
    model = model.to(memory_format=torch.channels_last)
    images, _ = split(load_data(f"cifar10:{args.data}", split="train"), SEED)
    batches = Batches(images, BATCH, crop_and_flip, SEED)
    steps = int(60 * args.minutes * args.pace / (batches.size * (1 + args.attack_steps)))
    training = Training(
        model, Settings(0.0, resolve_recipe("gaussian"), "all", steps, RATE, True, True, SEED)
    )
    attack = Attack(model, args.norm, args.epsilon, args.attack_steps)
    began = time.perf_counter()
    for pixels, labels in batches.between(0, steps):
        loss = training.step(attack(pixels, labels, training.done), labels)
        if training.done % 50 == 0:
            took = time.perf_counter() - began
            print(f"{training.done}/{steps} loss {loss:.3f} {took:.0f} s", flush=True)
    args.out.mkdir(parents=True, exist_ok=True)
    network = training.average[1]  # without the normaliser before it
    weights = {name: value.contiguous() for name, value in network.state_dict().items()}
    save_file(weights, args.out / "model.safetensors")
    print(f"{time.perf_counter() - began:.0f} s for {steps} steps of {batches.size} images")


if __name__ == "__main__":
    main()
