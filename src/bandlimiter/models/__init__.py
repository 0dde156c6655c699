"""Classifiers by name: every one takes pixels in [0, 1] and carries its normaliser."""

from bandlimiter.models.checkpoints import load_weights, read_weights
from bandlimiter.models.cifar_resnet import CifarResNet
from bandlimiter.models.classifier import Classifier
from bandlimiter.models.registry import FAMILIES, load_model

__all__ = [
    "FAMILIES",
    "CifarResNet",
    "Classifier",
    "load_model",
    "load_weights",
    "read_weights",
]
