"""Networks read as affine pieces, and the regions, simplices and cones that follow."""

from bandlimiter.geometry.bounds import max_regions
from bandlimiter.geometry.cones import Cones, cone_decomposition
from bandlimiter.geometry.enumeration import enumerate_regions
from bandlimiter.geometry.maximal import MaximalRegions, maximal_regions
from bandlimiter.geometry.network import PiecewiseLinear
from bandlimiter.geometry.reading import read_network
from bandlimiter.geometry.regions import Regions
from bandlimiter.geometry.segment import SegmentCrossings, segment_crossings
from bandlimiter.geometry.triangulation import Triangulation, triangulate

__all__ = [
    "Cones",
    "MaximalRegions",
    "PiecewiseLinear",
    "Regions",
    "SegmentCrossings",
    "Triangulation",
    "cone_decomposition",
    "enumerate_regions",
    "max_regions",
    "maximal_regions",
    "read_network",
    "segment_crossings",
    "triangulate",
]
