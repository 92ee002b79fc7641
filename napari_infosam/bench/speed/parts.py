"""The parts of the benchmark, by the names that the command line gives them."""

from typing import Literal, TypeAlias, get_args

Part: TypeAlias = Literal[
    "embedding",
    "click",
    "boxes",
    "proposals",
    "quick",
    "full",
    "memory",
    "roofline",
]

PARTS: tuple[Part, ...] = get_args(Part)
