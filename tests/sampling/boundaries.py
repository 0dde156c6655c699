"""The closest boundaries by a loop: one unit at a time, with PyTorch's own gradients."""

import torch
from torch import nn

THRESHOLDS = {nn.ReLU: (0.0,), nn.LeakyReLU: (0.0,), nn.ReLU6: (0.0, 6.0), nn.Hardtanh: (-1.0, 1.0)}


def all_boundaries(model, x, scale=1.0):
    """Distance and direction for every unit of one input x [...]: [U] and [U, ...]."""
    pre_activations = []
    layers = [layer for layer in model.modules() if type(layer) in THRESHOLDS]
    handles = [
        layer.register_forward_pre_hook(
            lambda layer, given: pre_activations.append((given[0], THRESHOLDS[type(layer)]))
        )
        for layer in layers
    ]
    x = x[None].clone().requires_grad_()
    model(x)
    for handle in handles:
        handle.remove()
    distances, directions = [], []
    for g, thresholds in pre_activations:
        for number in g.flatten():
            (gradient,) = torch.autograd.grad(number, x, retain_graph=True)
            gradient = gradient[0] * scale
            length = gradient.norm()
            gap = min((number.detach() - t for t in thresholds), key=abs)
            distances.append(gap.abs() / length if length > 0 else torch.tensor(torch.inf))
            directions.append((-1 if gap > 0 else 1) * gradient / length)
    return torch.stack(distances), torch.stack(directions)
