"""Run a command and print the largest memory that it, or a process of its own, held.

python tools/peak_memory.py COMMAND [ARGUMENT ...]
"""

import resource
import subprocess
import sys

if __name__ == "__main__":
    code = subprocess.call(sys.argv[1:])  # noqa: S603  (the caller's own command)
    kibibytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(f"peak memory {kibibytes / 2**20:.2f} GiB", file=sys.stderr)
    sys.exit(code)
