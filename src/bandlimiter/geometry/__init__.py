"""Networks read as affine pieces, and the regions, simplices and cones that follow."""

from bandlimiter.geometry.bounds import max_regions
from bandlimiter.geometry.cones import Cones, cone_decomposition
from bandlimiter.geometry.enumeration import enumerate_regions
from bandlimiter.geometry.graph import Graph, read_graph
from bandlimiter.geometry.matrices import read_network
from bandlimiter.geometry.maximal import MaximalRegions, maximal_regions
from bandlimiter.geometry.network import PiecewiseLinear
from bandlimiter.geometry.regions import Regions, triangulate
from bandlimiter.geometry.segment import SegmentCrossings, segment_crossings
from bandlimiter.geometry.tracing import (
    LineTrace,
    PieceAround,
    PlaneTrace,
    TraceLimitError,
    count_flips,
    piece_around,
    trace_line,
    trace_plane,
)
from bandlimiter.geometry.triangulation import Triangulation

__all__ = [
    "Cones",
    "Graph",
    "LineTrace",
    "MaximalRegions",
    "PieceAround",
    "PiecewiseLinear",
    "PlaneTrace",
    "Regions",
    "SegmentCrossings",
    "TraceLimitError",
    "Triangulation",
    "cone_decomposition",
    "count_flips",
    "enumerate_regions",
    "max_regions",
    "maximal_regions",
    "piece_around",
    "read_graph",
    "read_network",
    "segment_crossings",
    "trace_line",
    "trace_plane",
    "triangulate",
]
