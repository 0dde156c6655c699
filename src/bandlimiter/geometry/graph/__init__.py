"""A module as a graph of affine maps, bends and maxima: what can be traced exactly."""

from bandlimiter.geometry.graph.from_module import read_graph, stated_width
from bandlimiter.geometry.graph.steps import AffineStep, BendStep, Graph, MaxStep

__all__ = ["AffineStep", "BendStep", "Graph", "MaxStep", "read_graph", "stated_width"]
