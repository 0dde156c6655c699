"""Directions to the closest boundaries of a network's linear regions (paper, section 3.2).

`units` knows a network's units around an input, `length_estimates` ranks them all at once,
`nearest` measures the best of them, `sampler` is what callers use.
"""

from bandlimiter.sampling.boundary.nearest import NearestBoundaries
from bandlimiter.sampling.boundary.sampler import BoundaryDirections

__all__ = ["BoundaryDirections", "NearestBoundaries"]
