"""Optimisers, with PyTorch's names, defaults and arithmetic (`torch.optim`)."""

from __future__ import annotations

from trueno.optim.adam import Adam, AdamW
from trueno.optim.optimizer import Optimizer
from trueno.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer"]
