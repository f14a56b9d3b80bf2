"""The code that multiplies panels block by block, and evaluates what follows the sums while they are in cache."""

from __future__ import annotations

from trueno.codegen.contraction.amx import configure_function, tiles_kernel
from trueno.codegen.contraction.blocks import Blocks
from trueno.codegen.contraction.dots import dots_kernel
from trueno.codegen.contraction.finish import finish_function
from trueno.codegen.contraction.keep import keep_function
from trueno.codegen.contraction.lines import LINES, lines_function
from trueno.codegen.contraction.micro import micro_kernel
from trueno.codegen.contraction.pack import turn_function
from trueno.codegen.contraction.rest import rest_functions
from trueno.codegen.contraction.steps import Multiply
from trueno.codegen.llvm import LLVMPrinter, Module, step_end


def multiply_function(module: Module, name: str, step: Multiply, half_instructions: bool) -> None:
    """Append the code of a multiplying step to a module."""
    assert step.a is not None and step.b is not None and module.as_is is not None
    as_is = module.as_is
    tile, direct_a, direct_b = step.tile, step.a.direct, step.b.direct
    if step.lines:
        lines_function(module, f"{name}.lines", tile, step.strip, half_instructions)
        as_is.declare(f"hidden void @{name}.lines({LINES})")
    elif tile.amx:
        tiles_kernel(as_is, f"{name}.tile", tile, direct_a, tile.columns)
        configure_function(as_is, f"{name}.configure")
    elif tile.dots:
        dots_kernel(as_is, f"{name}.tile", tile)
    else:
        panel = 0 if direct_b else step.b.step // tile.group
        micro_kernel(as_is, f"{name}.tile", tile, direct_a, direct_b, panel, step.kept, step.along)
    if step.turned:
        turn_function(as_is, f"{name}.turn", tile, tile.columns)
    elif step.kept:
        keep_function(as_is, f"{name}.keep", tile)
    if step.rest:
        rest_functions(as_is, name, tile, step.rest)
    if step.narrow:
        half = tile._replace(vectors=tile.vectors // 2)
    if step.narrow and tile.amx:
        tiles_kernel(as_is, f"{name}.narrow", half, direct_a, tile.columns)
    elif step.narrow:
        micro_kernel(as_is, f"{name}.narrow", half, direct_a, direct_b, panel=tile.columns, along=step.along)
    finish_function(module, name, step, half_instructions)
    printer = LLVMPrinter(as_is, half_instructions)
    Blocks(step, printer, name).run()
    step_end(printer, name, step.name)
