"""``python -m bandlimiter`` is the command ``bandlimiter``."""

from bandlimiter.cli.main import app

if __name__ == "__main__":
    app(prog_name="bandlimiter")
