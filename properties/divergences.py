"""The known deviations of backends, as data.

Each row was verified here, on the versions that it names, before it was written down; none hides more than
it predicts (see `divergence.Divergence`). A row whose smallest case stops deviating fails the suite. The
rows of each framework are in a file of their own.
"""

from properties import divergences_calls, divergences_jax, divergences_tensorflow, divergences_torch, divergences_torch_compiled
from properties.divergence import Divergence

DIVERGENCES: tuple[Divergence, ...] = (
    divergences_tensorflow.ROWS + divergences_torch.ROWS + divergences_torch_compiled.ROWS + divergences_jax.ROWS + divergences_calls.ROWS
)
