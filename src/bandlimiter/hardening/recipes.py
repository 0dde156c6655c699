"""What is asked of a network under noise: the losses that `harden` knows."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from bandlimiter.errors import ConfigurationError
from bandlimiter.tensors import is_number


@dataclass(frozen=True)
class Recipe:
    """A loss on several noisy copies of each image.

    With p_i the softmax of copy i of ``draws`` and p their mean, ::

        mean_i cross-entropy(p_i) + weight * mean_i KL(p || p_i) + entropy * H(p)

    (Jeong and Shin 2020, equations 6 to 8). With one draw and no weight it is training under
    Gaussian noise (Cohen et al. 2019).

    Attributes
    ----------
    name
        What it is called.
    draws
        Noisy copies of each image in a step, at least 1.
    weight
        Of the divergence between copies, from 0 on.
    entropy
        Of the mean's entropy, from 0 on: what keeps copies from agreeing by being unsure.
    """

    name: str
    draws: int = 1
    weight: float = 0.0
    entropy: float = 0.0

    def __post_init__(self) -> None:
        """Refuse (ConfigurationError) numbers out of range."""
        if not is_number(self.draws) or self.draws != int(self.draws) or self.draws < 1:
            raise ConfigurationError(
                f"expected a whole number of draws, at least 1, got {self.draws!r}"
            )
        object.__setattr__(self, "draws", int(self.draws))
        for name, value in (("weight", self.weight), ("entropy", self.entropy)):
            if not is_number(value) or not 0 <= value < math.inf:
                raise ConfigurationError(f"expected a number from 0 on as {name}, got {value!r}")
            object.__setattr__(self, name, float(value))
        if self.draws == 1 and (self.weight or self.entropy):
            raise ConfigurationError("expected two draws or more to compare, got one")

    def loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the mean over images.

        Parameters
        ----------
        logits
            [draws * N, classes], all images of the first draw before those of the second.
        labels
            [N] int64.
        """
        logits = logits.float()
        copies = F.log_softmax(logits, dim=1).reshape(self.draws, len(labels), -1)
        wrong = F.nll_loss(copies.flatten(0, 1), labels.repeat(self.draws))
        if not (self.weight or self.entropy):
            return wrong
        mean = torch.logsumexp(copies, dim=0) - torch.log(torch.tensor(float(self.draws)))
        share = mean.exp()
        # KL(p || p_i) = sum p (log p - log p_i); with sum p log p = -H, over all copies at once.
        entropy = -(share * mean).sum(dim=1).mean()
        divergence = -entropy - (share * copies).sum(dim=2).mean()
        return wrong + self.weight * divergence + self.entropy * entropy


RECIPES = {
    recipe.name: recipe
    for recipe in (Recipe("gaussian"), Recipe("consistency", draws=2, weight=10.0, entropy=0.5))
}
"""By name; the second is the one to start with."""


def resolve_recipe(recipe: str | Recipe) -> Recipe:
    """Return a recipe by name, or as it is.

    Raises
    ------
    ConfigurationError
        For an unknown name.
    """
    if isinstance(recipe, Recipe):
        return recipe
    if recipe not in RECIPES:
        raise ConfigurationError(f"expected a recipe of {', '.join(RECIPES)}; got {recipe!r}")
    return RECIPES[recipe]
