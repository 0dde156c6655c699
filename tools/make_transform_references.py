"""Write high-precision Fourier transforms of affine functions on simplices, for the tests.

The convention is F(w) = (2 pi)^(-n/2) * integral over the simplex of f(x) exp(-i w.x) dx, with
f affine and equal to f_j at the vertex v_j. Then, with z_j = -i w.v_j,

    F(w) = (2 pi)^(-n/2) |det(v_j - v_0)| sum_j f_j exp[z_0, ..., z_n, z_j],

where exp[...] is a divided difference. The vertices, values and frequencies are float64 numbers
taken as exact; everything after them is computed with at least 600 digits and rounded to
float64 once. ``check`` holds a sample against two other methods: entries of a matrix exponential
(Opitz), and plain quadrature, which shares nothing with the formula above::

    python tools/make_transform_references.py

Keys of the file, for n = 1 to 6 (and the same with ``high_`` in front, where abs(w) = 1e4):
``vertices_n`` [C, n + 1, n], ``values_n`` [C, n + 1], ``frequency_n`` [C, n], ``transform_n``
complex [C], ``largest_n`` [C] (modulus of the largest of the n + 1 terms of the sum, prefactors
included) and ``kind_n`` [C], one of ``KINDS``' positions. All vertices lie in the unit box.
The inputs come from a seeded generator, but through a few matrix factorisations: another
linear algebra library may change their last digits, which is why the file keeps them.
"""

import argparse
import time
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import mpmath
import numpy as np
from mpmath import mp

KINDS = (
    "random vertices, abs(w) from 1e-3 to 1e3 or 0",
    "nearly coincident nodes w.v_j",
    "exactly coincident nodes w.v_j",
    "small simplex",
    "abs(w) from 100 to 1000",
    "sliver",
)
DIMENSIONS = range(1, 7)
COUNTS = (80, 80, 80, 80, 80, 100)
COUNTS_LINE = (120, 80, 40, 80, 80, 100)  # n = 1: exactly coincident nodes mean w = 0
HIGH_COUNTS = (30, 10, 10, 0, 0, 0)
HIGH_COUNTS_LINE = (50, 0, 0, 0, 0, 0)
HIGH = 1e4
GRID = 2.0**-40
BITS = 2048

Case = tuple[np.ndarray, np.ndarray]  # vertices [n + 1, n], frequency [n]


# The inputs.


def log_uniform(rng: np.random.Generator, low: float, high: float, size=None):
    """Draw numbers whose logarithm is uniform."""
    return np.exp(rng.uniform(np.log(low), np.log(high), size))


def direction(rng: np.random.Generator, n: int) -> np.ndarray:
    """Draw a uniform unit vector."""
    u = rng.standard_normal(n)
    return u / np.linalg.norm(u)


def partition(rng: np.random.Generator, n: int, fewest: int = 2) -> np.ndarray:
    """Draw a group for each of n + 1 vertices: ``fewest`` to n groups, so that some share one."""
    groups = int(rng.integers(fewest, n + 1))
    labels = np.concatenate([np.arange(groups), rng.integers(0, groups, n + 1 - groups)])
    return rng.permutation(labels)


def inside(vertices: np.ndarray) -> bool:
    """Say whether all vertices lie in the unit box."""
    return bool(np.all((vertices >= 0) & (vertices <= 1)))


def random_vertices(rng: np.random.Generator, n: int) -> Case:
    """Kind 0: nothing special; one frequency in fifteen is exactly 0."""
    vertices = rng.random((n + 1, n))
    if rng.random() < 1 / 15:
        return vertices, np.zeros(n)
    return vertices, log_uniform(rng, 1e-3, 1e3) * direction(rng, n)


def near_nodes(rng: np.random.Generator, n: int, length: float | None = None) -> Case:
    """Kind 1: w nearly orthogonal to edges or faces, gaps 1e-12 to 1; or a tiny w."""
    vertices = rng.random((n + 1, n))
    if n == 1 or (length is None and rng.random() < 0.25):
        return vertices, log_uniform(rng, 1e-12, 1 if n == 1 else 1e-3) * direction(rng, n)
    labels = partition(rng, n)
    edges = []
    for group in range(labels.max() + 1):
        first, *others = np.flatnonzero(labels == group)
        edges += [vertices[other] - vertices[first] for other in others]
    matrix = np.array(edges)
    basis = np.linalg.qr(matrix.T)[0]
    u = direction(rng, n)
    for _ in range(3):
        u -= basis @ (basis.T @ u)
        u /= np.linalg.norm(u)
    gaps = log_uniform(rng, 1e-12, 1, len(edges)) * rng.choice([-1, 1], len(edges))
    small = np.linalg.lstsq(matrix, gaps, rcond=None)[0]
    if length is None:
        return vertices, log_uniform(rng, 0.1, 1e3) * u + small
    along = np.sqrt(length**2 - small @ small)  # small is orthogonal to u
    return vertices, along * u + small


def shared_coordinates(rng: np.random.Generator, n: int, length: float) -> Case:
    """Kind 2: groups of vertices share the only coordinates in which w is not 0."""
    axes = rng.permutation(n)[: rng.integers(1, n)]
    labels = partition(rng, n, len(axes) + 1)
    vertices = rng.random((n + 1, n))
    vertices[:, axes] = rng.random((labels.max() + 1, len(axes)))[labels]
    frequency = np.zeros(n)
    frequency[axes] = length * direction(rng, len(axes))
    return vertices, frequency


def orthogonal_edges(rng: np.random.Generator, n: int, length: float) -> Case:
    """Kind 2: edges exactly orthogonal to w = s k, where float64 does not see it.

    k has entries in -2..2 and the coordinates are multiples of a power of two, so that the
    products s k_i are exact and w.(v_a - v_b) is exactly 0, while the rounded products
    w_i v_ai mostly do not cancel.
    """
    while True:
        k = rng.integers(-2, 3, n)
        if np.count_nonzero(k) >= 2:
            break
    null = []
    for i in range(n):
        for j in range(i):
            vector = np.zeros(n)
            vector[i], vector[j] = k[j], -k[i]
            null.append(vector)
    labels = partition(rng, n)
    vertices = np.empty((n + 1, n))
    for group in range(labels.max() + 1):
        members = np.flatnonzero(labels == group)
        while True:
            vertices[members] = np.round(rng.random(n) / GRID) * GRID
            for member in members[1:]:
                steps = rng.uniform(-0.5, 0.5, len(null)) / np.sqrt(len(null))
                vertices[member] += (np.round(steps / GRID) * GRID) @ np.array(null)
            if inside(vertices[members]):
                break
    return vertices, length / np.linalg.norm(k) * k


def equal_nodes(rng: np.random.Generator, n: int, length: float | None = None) -> Case:
    """Kind 2, by either way; n = 1 leaves only w = 0."""
    if n == 1:
        return rng.random((2, 1)), np.zeros(1)
    if length is None:
        length = log_uniform(rng, 1e-3, 1e3)
    make = shared_coordinates if rng.random() < 0.5 else orthogonal_edges
    return make(rng, n, length)


def small_simplex(rng: np.random.Generator, n: int) -> Case:
    """Kind 3: a simplex of diameter 1e-6 to 1e-1 somewhere in the box."""
    diameter = log_uniform(rng, 1e-6, 1e-1)
    while True:
        shape = rng.standard_normal((n + 1, n))
        longest = max(np.linalg.norm(a - b) for a in shape for b in shape)
        vertices = rng.random(n) + diameter / longest * shape
        if inside(vertices):
            return vertices, log_uniform(rng, 1e-3, 1e3) * direction(rng, n)


def fast(rng: np.random.Generator, n: int) -> Case:
    """Kind 4: high frequencies."""
    return rng.random((n + 1, n)), log_uniform(rng, 100, 1000) * direction(rng, n)


def sliver(rng: np.random.Generator, n: int) -> Case:
    """Kind 5: thickness 1e-6 to 1e-3; w in any direction, across the sliver, or along it."""
    while True:
        vertices, across = rng.random((n + 1, n)), direction(rng, n)
        heights = vertices @ across
        flat = log_uniform(rng, 1e-6, 1e-3) / np.ptp(heights)
        vertices -= np.outer((1 - flat) * (heights - heights.mean()), across)
        if inside(vertices):
            break
    u = direction(rng, n)
    choice = rng.integers(3)
    if choice == 1:
        u = across
    elif choice == 2 and n > 1:
        u -= (u @ across) * across
        u /= np.linalg.norm(u)
    return vertices, log_uniform(rng, 1e-3, 1e3) * u


MAKERS: tuple[Callable[[np.random.Generator, int], Case], ...] = (
    random_vertices,
    near_nodes,
    equal_nodes,
    small_simplex,
    fast,
    sliver,
)


def high(rng: np.random.Generator, n: int, kind: int) -> Case:
    """Build a case of kind 0, 1 or 2 with abs(w) = 1e4."""
    if kind == 1:
        return near_nodes(rng, n, HIGH)
    if kind == 2:
        return equal_nodes(rng, n, HIGH)
    return rng.random((n + 1, n)), HIGH * direction(rng, n)


def random_values(rng: np.random.Generator, n: int) -> np.ndarray:
    """Draw the values at the vertices: normal, or (one in seven each) ones, or a single one."""
    choice = rng.integers(7)
    if choice == 0:
        return np.ones(n + 1)
    if choice == 1:
        return np.eye(n + 1)[rng.integers(n + 1)]
    return rng.standard_normal(n + 1)


# The transforms.


def dot(a: np.ndarray, b: np.ndarray) -> mpmath.mpf:
    """Return a.b of float64 numbers, exactly (the denominator is a power of two)."""
    exact = sum(Fraction(float(x)) * Fraction(float(y)) for x, y in zip(a, b, strict=True))
    exact = Fraction(exact)
    if exact.numerator.bit_length() > mp.prec:
        raise ArithmeticError("a dot product does not fit the working precision")
    return mp.mpf(exact.numerator) / exact.denominator


def divided_difference(t: list[mpmath.mpf]) -> mpmath.mpc:
    """Return exp[-i t_0, ..., -i t_m] for sorted real t, by Newton's table.

    Nodes here are exact, so equal nodes are seen by ==, and their entries are derivatives, which
    is the exact confluent value: nothing is perturbed. Every other entry is a plain difference
    quotient, which loses up to log2(1 / gap) bits a level; the caller adds those bits.
    """
    wave = {node: mp.expj(-node) for node in set(t)}
    table = [wave[node] for node in t]
    for k in range(1, len(t)):
        for i in range(len(t) - k):
            if t[i] == t[i + k]:  # k + 1 equal nodes, as they are sorted
                table[i] = mp.mpc(0, -1) ** k * wave[t[i]] / mp.factorial(k)
            else:
                table[i] = (table[i + 1] - table[i]) / (t[i + k] - t[i])
    # A difference in z = -i t divides by -i once a level: multiply by i as often.
    return mp.mpc(0, 1) ** (len(t) - 1) * table[0]


def prefactor(vertices: np.ndarray) -> mpmath.mpf:
    """Return (2 pi)^(-n/2) |det(v_j - v_0)| at the working precision."""
    n = vertices.shape[1]
    rows = [[mp.mpf(float(x)) for x in vertex] for vertex in vertices]
    edges = mp.matrix([[rows[j][i] - rows[0][i] for i in range(n)] for j in range(1, n + 1)])
    return abs(mp.det(edges)) / (2 * mp.pi) ** (mp.mpf(n) / 2)


def terms(vertices: np.ndarray, values: np.ndarray, frequency: np.ndarray) -> list[mpmath.mpc]:
    """Return the n + 1 terms (2 pi)^(-n/2) |det| f_j exp[z_0, ..., z_n, z_j].

    The quotients of a table with n + 2 nodes lose at most (n + 1) log2(1 / smallest gap) bits
    (and a bit or so a level). The precision is 512 bits more than that, and never below 2048
    bits (616 digits), so that an absolute error of about 2^-500 (1e-150) is left. The largest
    term is above 1e-50 in all cases, so even a sum that cancels is right far beyond float64.
    """
    with mp.workprec(BITS):
        nodes = [dot(vertex, frequency) for vertex in vertices]
        apart = sorted(set(nodes))
        lost = max([0] + [1 - int(mp.mag(b - a)) for a, b in pairwise(apart)])
    with mp.workprec(max(BITS, 512 + (lost + 2) * len(vertices))):
        factor = prefactor(vertices)
        return [
            factor * mp.mpf(float(value)) * divided_difference(sorted([*nodes, node]))
            for value, node in zip(values, nodes, strict=True)
        ]


def transform(
    vertices: np.ndarray, values: np.ndarray, frequency: np.ndarray
) -> tuple[mpmath.mpc, mpmath.mpf]:
    """Return the transform and the modulus of its largest term, unrounded."""
    parts = terms(vertices, values, frequency)
    with mp.workprec(BITS):
        return mp.fsum(parts), max(abs(part) for part in parts)


# The second methods.


def by_matrix(vertices: np.ndarray, values: np.ndarray, frequency: np.ndarray) -> mpmath.mpc:
    """Return the transform with divided differences read off matrix exponentials (Opitz).

    exp[z_0, ..., z_m] is the top right entry of exp(Z), Z with the z_j on its diagonal and ones
    above it. Equal and nearly equal nodes are nothing special here.
    """
    nodes = [mp.mpc(0, -1) * dot(vertex, frequency) for vertex in vertices]
    total = mp.mpc(0)
    for value, node in zip(values, nodes, strict=True):
        diagonal = [*nodes, node]
        matrix = mp.diag(diagonal)
        for i in range(len(diagonal) - 1):
            matrix[i, i + 1] = 1
        total += mp.mpf(float(value)) * mp.expm(matrix)[0, len(diagonal) - 1]
    return prefactor(vertices) * total


def by_quadrature(vertices: np.ndarray, values: np.ndarray, frequency: np.ndarray) -> mpmath.mpc:
    """Return the transform by Gauss-Legendre quadrature over a cube folded onto the simplex."""
    corners = [[mp.mpf(float(x)) for x in vertex] for vertex in vertices]
    heights = [mp.mpf(float(x)) for x in values]
    w = [mp.mpf(float(x)) for x in frequency]

    def integrand(*cube: mpmath.mpf) -> mpmath.mpc:
        weights, left, jacobian = [], mp.mpf(1), mp.mpf(1)
        for share in cube:
            weights.append(left * share)
            jacobian *= left
            left *= 1 - share
        weights.append(left)
        x = [mp.fdot(weights, axis) for axis in zip(*corners, strict=True)]
        return jacobian * mp.fdot(weights, heights) * mp.expj(-mp.fdot(w, x))

    cube = [[0, 1]] * len(w)
    return prefactor(vertices) * mp.quad(integrand, *cube, method="gauss-legendre")


def check(arrays: dict[str, np.ndarray], seed: int = 1) -> None:
    """Hold random cases of the file against the second methods; print the worst disagreement.

    Printed are the differences relative to the transform's own modulus (where that is not 0):
    of the unrounded numbers, and of the second method from the rounded number in the file.
    """
    rng = np.random.default_rng(seed)

    def compare(name: str, method, digits: int, limit: float, picks: list[tuple[str, int, int]]):
        worst, worst_stored, count = mp.mpf(0), mp.mpf(0), 0
        for prefix, n, row in picks:
            case = [arrays[f"{prefix}{key}_{n}"][row] for key in ("vertices", "values")]
            case.append(arrays[f"{prefix}frequency_{n}"][row])
            stored = complex(arrays[f"{prefix}transform_{n}"][row])
            first, _ = transform(*case)
            with mp.workdps(digits):
                second = method(*case)
            with mp.workprec(BITS):
                worst = max(worst, abs(second - first) / abs(first))
                worst_stored = max(worst_stored, abs(second - mp.mpc(stored)) / abs(first))
            count += 1
        print(
            f"{name}: {count} cases, worst disagreement {mp.nstr(worst, 3)}, "
            f"from the stored number {mp.nstr(worst_stored, 3)}"
        )
        if worst > limit or worst_stored > 2.0**-53:
            raise ArithmeticError(f"{name} disagrees")

    picks = []
    for n in DIMENSIONS:
        kinds = arrays[f"kind_{n}"]
        for kind in range(len(KINDS)):
            rows = np.flatnonzero(kinds == kind)
            picks += [("", n, int(row)) for row in rng.choice(rows, 2, replace=False)]
        rows = len(arrays[f"high_kind_{n}"])
        picks += [("high_", n, int(row)) for row in rng.choice(rows, 2, replace=False)]
    compare("matrix exponential, n = 1 to 6, all kinds", by_matrix, 150, 1e-60, picks)

    for n, most, digits, size in ((1, 16, 40, 100), (2, 12, 30, 30), (3, 3, 18, 5)):
        lengths = np.linalg.norm(arrays[f"frequency_{n}"], axis=1)
        rows = rng.choice(np.flatnonzero(lengths <= size), most, replace=False)
        picks = [("", n, int(row)) for row in rows]
        name = f"quadrature, n = {n}, abs(w) <= {size}"
        compare(name, by_quadrature, digits, 10.0 ** (8 - digits), picks)


# The file.


def build(rng: np.random.Generator, n: int, counts: tuple[int, ...], make) -> dict[str, np.ndarray]:
    """Make the cases of one n: ``counts`` of each kind, by ``make(rng, n, kind)``."""
    rows: dict[str, list] = {
        key: [] for key in ("vertices", "values", "frequency", "transform", "largest", "kind")
    }
    for kind, count in enumerate(counts):
        for _ in range(count):
            vertices, frequency = make(rng, n, kind)
            values = random_values(rng, n)
            if not inside(vertices) or not prefactor(vertices):
                raise ArithmeticError(f"not a simplex in the unit box: {vertices}")
            total, largest = transform(vertices, values, frequency)
            rows["vertices"].append(vertices)
            rows["values"].append(values)
            rows["frequency"].append(frequency)
            rows["transform"].append(complex(total))
            rows["largest"].append(float(largest))
            rows["kind"].append(np.int8(kind))
    return {key: np.array(value) for key, value in rows.items()}


def summary(arrays: dict[str, np.ndarray]) -> None:
    """Print the cases by n and kind, and how many do not cancel below 1e-3 of a term."""
    for kind, name in enumerate(KINDS):
        print(f"kind {kind}: {name}")
    for prefix in ("", "high_"):
        for n in DIMENSIONS:
            kinds = np.bincount(arrays[f"{prefix}kind_{n}"], minlength=len(KINDS))
            size, largest = abs(arrays[f"{prefix}transform_{n}"]), arrays[f"{prefix}largest_{n}"]
            plain = int((size > 1e-3 * largest).sum())
            print(
                f"{prefix}n = {n}: {kinds.sum()} cases, by kind {kinds.tolist()}; "
                f"abs(transform) > 1e-3 largest in {plain}; smallest ratio "
                f"{(size / largest).min():.1e}; abs(transform) {size.min():.1e} to {size.max():.1e}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--out", type=Path, default=Path("tests/spectrum/references/simplex_transforms.npz")
    )
    arguments = parser.parse_args()
    started = time.monotonic()
    arrays: dict[str, np.ndarray] = {}
    for n in DIMENSIONS:
        rng = np.random.default_rng([arguments.seed, n])
        plain = build(rng, n, COUNTS_LINE if n == 1 else COUNTS, lambda r, m, k: MAKERS[k](r, m))
        far = build(rng, n, HIGH_COUNTS_LINE if n == 1 else HIGH_COUNTS, high)
        arrays |= {f"{key}_{n}": value for key, value in plain.items()}
        arrays |= {f"high_{key}_{n}": value for key, value in far.items()}
    print(f"computed in {time.monotonic() - started:.0f} s")
    summary(arrays)
    check(arrays)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(arguments.out, **arrays)
    print(f"{arguments.out}: {arguments.out.stat().st_size} bytes")
    print(f"{time.monotonic() - started:.0f} s in all")


if __name__ == "__main__":
    main()
