"""Classifiers by name: every one takes pixels in [0, 1] and carries its normaliser.

Beside them, small fully connected networks: built, trained, saved and read.
"""

from bandlimiter.models.boundary import closest_to_boundary
from bandlimiter.models.checkpoints import load_weights, read_weights
from bandlimiter.models.cifar_resnet import CifarResNet
from bandlimiter.models.classifier import Classifier
from bandlimiter.models.families import FAMILIES, load_model
from bandlimiter.models.perceptron import ACTIVATIONS, build_perceptron
from bandlimiter.models.perceptron_files import load_perceptron, save_perceptron
from bandlimiter.models.perceptron_training import train_perceptron
from bandlimiter.models.small_network import load_small_network

__all__ = [
    "ACTIVATIONS",
    "FAMILIES",
    "CifarResNet",
    "Classifier",
    "build_perceptron",
    "closest_to_boundary",
    "load_model",
    "load_perceptron",
    "load_small_network",
    "load_weights",
    "read_weights",
    "save_perceptron",
    "train_perceptron",
]
