"""The code of a step of either kind."""

from __future__ import annotations

from trueno.codegen.contraction.multiply import multiply_function
from trueno.codegen.contraction.pack import pack_function
from trueno.codegen.contraction.steps import Multiply, Pack, Step
from trueno.codegen.llvm import Module


def step_function(module: Module, name: str, step: Step, half_instructions: bool) -> None:
    """Append ``name(buffers, meta, scalars, first task, end task)`` to a module.

    What holds loops for LLVM's vectoriser goes through its passes, the rest is written as they would leave it.
    """
    if isinstance(step, Multiply):
        multiply_function(module, name, step, half_instructions)
    elif isinstance(step, Pack):
        pack_function(module, name, step, half_instructions)
