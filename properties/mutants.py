"""Seeded defects in a correct pooling, as data: each replaces one step of `mutable.Steps`.

Most change nothing on a plain 4×4 input with 2×2 windows, which is what ordinary tests ask.
`plain=False` marks those that cannot help it. Many are defects that a framework has shipped; the
description then names it. The rows are in files by what goes wrong.
"""

import itertools

from properties import mutants_combined, mutants_memory, mutants_missed, mutants_numbers, mutants_paths, mutants_sizes, mutants_windows
from properties.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = tuple(
    itertools.chain(
        mutants_windows.ROWS,
        mutants_numbers.ROWS,
        mutants_memory.ROWS,
        mutants_paths.ROWS,
        mutants_sizes.ROWS,
        mutants_missed.ROWS,
        mutants_combined.ROWS,
    )
)
