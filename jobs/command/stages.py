"""The functions of the stages that a command runs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from strata.stages import stages_of_command

if TYPE_CHECKING:
    from strata.jobs.runner.run import Stage

__all__ = ["stage_functions"]


def stage_functions(command: str) -> tuple[Stage, ...]:
    """What a command runs, in order; imported now, since it needs Arrow and more."""
    functions = []
    for stage in stages_of_command(command):
        module, _, name = stage.function.partition(":")
        functions.append(cast("Stage", getattr(import_module(module), name)))
    return tuple(functions)
