"""A statement in Trueno and in PyTorch over the same operands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import trueno as tn
from benchmarks.harness import SUBJECT, Contender, Experiment
from trueno.nn import functional


def beside_torch(own: str, theirs: str, names: Callable[..., dict[str, Any]]) -> Experiment:
    """Return the experiment; the right result is PyTorch's in float64.

    Parameters
    ----------
    own, theirs : str
        The statement in Trueno and in PyTorch.
    names : callable
        Takes a library, its functions of neural networks, what makes a tensor of an array, and the dtype (float32 if it
        is left out). Returns the names that the statement uses.
    """

    def expected() -> np.ndarray:
        return eval(theirs, names(torch, torch.nn.functional, torch.from_numpy, np.float64)).numpy()

    return Experiment(
        {
            SUBJECT: Contender(own, names(tn, functional, tn.from_numpy)),
            "torch": Contender(theirs, names(torch, torch.nn.functional, torch.from_numpy)),
        },
        expected,
    )
