"""``bandlimiter reproduce``: the paper's tables and figures."""
