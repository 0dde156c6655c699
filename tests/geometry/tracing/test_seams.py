"""Parts of a plane that are cut apart from each other, and put together again."""

import numpy as np
import pytest
import torch

from bandlimiter.geometry.graph import read_graph
from bandlimiter.geometry.tracing import trace_plane
from bandlimiter.geometry.tracing.seams import Seams
from bandlimiter.tensors import generator
from tests.geometry.tracing.slices import fits_together, same_plane


@pytest.mark.parametrize("swapped", [False, True])
def test_names_go_by_order(swapped):
    """Both parts cut the edge between vertices a and b twice, in places that round differently."""
    seams = Seams()
    a, b, *others = seams.fresh(6)
    one = np.array([a, b, *others[:2]])
    other = np.array([*others[2:], b, a])
    cuts = np.array([[0.75, 0.25, 0, 0], [0.75 - 1e-9, 0.25 + 1e-9, 0, 0], [0, 0.5, 0.5, 0]])
    back = np.array([[0, 0, 0.25 + 3e-9, 0.75 - 3e-9], [0, 0, 0.25 - 1e-9, 0.75 + 1e-9]])
    if swapped:
        back = back[::-1]
    edge = np.array([[0, 1]])
    named = seams.extended(one, edge, np.concatenate([np.eye(4), cuts]), layer=3)
    later = seams.extended(other, np.array([[3, 2]]), np.concatenate([np.eye(4), back]), layer=3)
    assert len(set(named)) == 7
    assert later[4:].tolist() == (named[[4, 5]] if swapped else named[[5, 4]]).tolist()
    # Another layer's cut of the same edge is another one; so is one that no seam has.
    third = seams.extended(one, edge, np.concatenate([np.eye(4), cuts[:1]]), layer=4)
    closed = seams.extended(one, edge[:0], np.concatenate([np.eye(4), cuts[:1]]), layer=3)
    assert not {third[4], closed[4]} & {*named, *later}


@pytest.mark.parametrize("extent", [1e-3, 3e-5])
def test_places_that_round_differently(sample, photos, extent):
    """In a small rectangle of a real network they differ by more than regions' least width."""
    image = photos.images(0, 1)[0].double()
    drawn = torch.randn(2, image.numel(), generator=generator(0, "plane"), dtype=torch.float64)
    u, v = torch.linalg.qr(drawn.T)[0].T.reshape(2, *image.shape)
    graph = read_graph(sample.module, tuple(image.shape))
    whole = trace_plane(graph, image, u, v, extent)
    parts = trace_plane(graph, image, u, v, extent, memory=20)
    for trace in (whole, parts):
        fits_together(trace)
    # Roundings of 1e-16 where a unit changes by 1e-8 of its scale in the rectangle.
    same_plane(whole, parts, 1e-8)
