"""Runs the tests that rounding could disturb as other processors would run them, one line each.

Sums are the same on paper and not in bits: PyTorch, oneDNN and MKL choose their kernels by the
processor, and divide the work by the number of threads. Each setting below forbids some of them.

    python tools/test_kernels.py --fast
    python tools/test_kernels.py tests/acceleration
"""

import argparse
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

TESTS = (
    "tests/geometry",
    "tests/spectrum",
    "tests/defence/stopping",
    "tests/defence/test_early_stop.py",
)

OLDER = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}
"""A processor without AVX-512."""

SETTINGS: tuple[tuple[int, dict[str, str]], ...] = (
    (1, {}),
    (1, {"ATEN_CPU_CAPABILITY": "default"}),
    (1, {"ATEN_CPU_CAPABILITY": "avx2"}),
    (1, {"ONEDNN_MAX_CPU_ISA": "AVX2"}),
    (1, {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}),
    (1, {"MKL_CBWR": "COMPATIBLE"}),
    (1, OLDER),
    (2, {}),
    (2, {"ATEN_CPU_CAPABILITY": "avx2"}),
    (2, OLDER),
)
"""Threads, and what is set; what none of them sets is left to the processor."""


def processor() -> str:
    """The processor's name as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    told = dict(line.split(":", 1) for line in lines if ":" in line)
    told = {key.strip(): value.strip() for key, value in told.items()}
    name, family, model = (told.get(key, "?") for key in ("model name", "cpu family", "model"))
    return f"{name} (family {family}, model {model})"


def run(threads: int, setting: dict[str, str], arguments: list[str]) -> bool:
    """Run pytest in a setting, and print what it says in its last line."""
    environment = {**os.environ, **setting}
    environment |= {"OMP_NUM_THREADS": str(threads), "TEST_THREADS": str(threads)}
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "--tb=short", *arguments]
    began = time.monotonic()
    done = subprocess.run(  # noqa: S603  (of our own arguments)
        command, env=environment, capture_output=True, text=True, check=False
    )
    lines = done.stdout.strip().splitlines() or [done.stderr.strip() or "nothing was said"]
    name = " ".join(f"{key}={value}" for key, value in setting.items()) or "nothing set"
    print(f"{threads} thread{'s' * (threads > 1)}, {name}: {lines[-1]}", flush=True)
    if done.returncode:
        print("\n".join(line for line in lines if line.startswith(("FAILED", "ERROR"))), flush=True)
    print(f"    {time.monotonic() - began:.0f} s", flush=True)
    return done.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tests", nargs="*", default=TESTS, help="files or folders")
    parser.add_argument("--fast", action="store_true", help="leave out the tests marked slow")
    chosen = parser.parse_args()
    print(f"processor: {processor()}", flush=True)
    arguments = [*chosen.tests, *["--fast"] * chosen.fast]
    passed = [run(*setting, arguments) for setting in SETTINGS]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
