"""The packaged model and images; made by the scripts in ``tools/``."""
