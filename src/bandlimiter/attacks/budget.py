"""From a direction to the full budget."""

import torch


def stretch_to_budget(images: torch.Tensor, found: torch.Tensor, epsilon: float) -> torch.Tensor:
    """Scale each perturbation so that its L-inf length is ``epsilon``, then clip to [0, 1].

    What minimal attacks become under the protocol ``fixed``: the direction of their
    smallest perturbation, followed as far as the budget allows (or back to it). Images
    without a perturbation stay as they are.

    Parameters
    ----------
    images, found
        [N, ...] pixels.
    epsilon
        The L-inf budget in pixels.
    """
    difference = found - images
    length = difference.flatten(1).abs().amax(dim=1).view(-1, *[1] * (images.ndim - 1))
    factor = torch.where(length > 0, epsilon / length.clamp_min(1e-30), 0)
    return (images + factor * difference).clamp(0, 1)
