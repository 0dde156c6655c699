"""``bandlimiter trace``: lines and planes through a network, from an image."""
