"""The intermediate representation: rows, nodes, kernels, their meaning and their gradients."""

from trueno.ir import elementwise, libm, reductions, transcendental, views  # noqa: F401 - importing makes the rows
