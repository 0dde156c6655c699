"""Write reference values of Gamma(nu + 1) (2/z)^nu J_nu(z) at 40 digits, with mpmath.

Needs ``pip install mpmath``. A few minutes::

    python tools/make_bessel_references.py

Each value is computed at 40 and at 80 digits and refused if they differ. The points lie in
all three branches of ``sampling/bessel.py``, just below and above each border, around zeros,
and far out. Written for each: z, the value, and what an error is to be measured by, which is
the envelope sqrt(J^2 + Y^2) in the place of J beyond z = nu, and the value itself before.
"""

import argparse
import json
import math
from pathlib import Path

import mpmath as mp

# Balls have the order n/2, spheres n/2 - 1. Beside the usual dimensions: both sides of the
# order from which Debye's expansion is used (300), and 9000, near the largest dimension at
# which anything beyond 0.75 nu is still above the smallest double.
DIMS = (1, 2, 3, 10, 50, 199, 200, 598, 600, 3072, 9000, 150528)
ORDERS = sorted({order for n in DIMS for order in (n / 2, n / 2 - 1)})
LEAST_EXACT, LEAST = mp.mpf("1e-300"), mp.mpf("2e-324")  # between them doubles lose digits


def log_bound(nu: float, z: float) -> float:
    """Log of Gamma(nu + 1) (2/z)^nu, which bounds the value for nu >= 0, as |J| <= 1."""
    return math.lgamma(nu + 1) + nu * math.log(2 / z)


def points(nu: float) -> list[float]:
    """Return the z to look at: through all branches, at their borders and at zeros."""
    series_end, debye_end = 2.5 * math.sqrt(2 * (nu + 1)), 0.75 * nu
    z = [series_end * part for part in (1e-9, 0.01, 0.2, 0.5, 0.8, 0.95)]
    for border in (series_end, debye_end, nu):
        z += [border * (1 + shift) for shift in (-0.01, -1e-12, 1e-12, 0.01)]
    z += [series_end + (debye_end - series_end) * part / 6 for part in range(1, 6)]
    z += [series_end * 1.4**power for power in range(1, 21)]
    z += [1e4, 1e5 + 0.1, 1e6, 1e8 + 0.3, 1e10, 1e12, 9.9e14, 1.1e15, 1e17, 1e20]
    if nu < 50:  # further up, zeros lie among the points above closely enough
        z += [float(mp.besseljzero(max(nu, 0), k)) for k in (1, 2, 5)]
    return sorted(value for value in set(z) if value > 0)


def reference(nu: float, z: float) -> tuple[str, str] | None:
    """Return value and measure of errors; zero for what no double holds; None near that."""
    if nu > 1 and log_bound(nu, z) < mp.log(LEAST):
        return "0", "0"
    found = []
    for digits in (40, 80):
        with mp.workdps(digits):
            order, at = mp.mpf(nu), mp.mpf(z)
            factor = mp.gamma(order + 1) * (2 / at) ** order
            if z < 3 * nu:
                value = mp.hyp0f1(order + 1, -at * at / 4, maxterms=10**6, maxprec=10**6)
            else:
                value = factor * mp.besselj(order, at)
            measure = abs(value)
            if z > nu:
                measure = abs(factor) * mp.sqrt(
                    mp.besselj(order, at) ** 2 + mp.bessely(order, at) ** 2
                )
            found.append((value, measure))
    (value, measure), (again, _) = found
    if abs(value - again) > 1e-25 * measure:
        raise ArithmeticError(f"mpmath is not sure of nu = {nu}, z = {z}")
    if measure < LEAST:
        return "0", "0"
    if measure < LEAST_EXACT:
        return None
    return mp.nstr(again, 20), mp.nstr(measure, 6)


def main(out: Path) -> None:
    rows = []
    for nu in ORDERS:
        found = [(z, reference(nu, z)) for z in points(nu)]
        kept = [(z, *pair) for z, pair in found if pair is not None]
        zeros = [row for row in kept if row[1] == "0"]
        kept = [row for row in kept if row[1] != "0"] + zeros[:2] + zeros[-1:]
        rows += [[nu, z, float(value), float(measure)] for z, value, measure in kept]
        print(f"nu = {nu}: {len(kept)} values, {len(zeros)} below the smallest double")
    lines = ",\n".join(json.dumps(row) for row in rows)
    header = json.dumps(["nu", "z", "value", "measure"])
    out.write_text(f'{{"columns": {header},\n"rows": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    folder = Path("tests/sampling/references")
    parser.add_argument("--out", type=Path, default=folder / "bessel_ratio.json")
    arguments = parser.parse_args()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    main(arguments.out)
