"""Defended models in the forms that other libraries ask for; each module needs its library.

Most need none: a defended model is a module from pixels in [0, 1] to logits (docs/adapters.md).
"""
