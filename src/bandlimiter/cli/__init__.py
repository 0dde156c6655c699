"""The ``bandlimiter`` command: thin, everything it does is a call of the library."""
