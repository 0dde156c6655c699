"""Eq. 7 and 8 written out, point by point, as the paper states them."""

import torch


def neighbours(x, directions, radius, scale):
    """The 6K + 1 points around one input."""
    points = [x]
    for v in directions:
        for step in (radius / 3, 2 * radius / 3, radius):
            points.append(x + step * v * scale)
            points.append(x - step * v * scale)
    return points


def post_average(model, x, directions, radius, scale, vote="softmax"):
    """The averaged scores of a batch, one input and one point at a time."""
    rows = []
    for one in x:
        outputs = [model(p[None])[0] for p in neighbours(one, directions, radius, scale)]
        z = torch.stack(outputs)
        votes = torch.bincount(z.argmax(dim=1), minlength=z.shape[1]).to(z.dtype)
        rows.append(
            {
                "softmax": lambda z=z: torch.log(torch.softmax(z, dim=1).mean(dim=0)),
                "logits": lambda z=z: z.mean(dim=0),
                "majority": lambda z=z, votes=votes: votes / len(z),
                "weighted": lambda z=z, votes=votes: z.mean(dim=0) * votes,
            }[vote]()
        )
    return torch.stack(rows)
