"""The forms of minimal filtering, in the order in which a convolution is asked whether one of them applies.

Each is a module with ``applies``, whether a convolution has its form and takes less time so, ``pays``, the rule for
that, and ``minimal``, which writes it down.
"""

from __future__ import annotations

from trueno.codegen import (
    winograd,
    winograd_lines,
    winograd_strided,
    winograd_weights,
    winograd_weights_lines,
    winograd_weights_strided,
)

#: Forms of convolutions, whose last step is an interleaving of the tiles' results.
FORMS = (winograd, winograd_strided, winograd_lines)
#: Forms of those that are gradients of weights, made with the first two axes exchanged.
OF_WEIGHTS = (winograd_weights, winograd_weights_strided, winograd_weights_lines)
