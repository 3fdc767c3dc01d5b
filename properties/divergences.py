"""The known deviations of backends, as data.

Each row was verified here, on the versions that it names, before it was written down; none hides more than
it predicts (see `divergence.Divergence`). A row whose smallest case stops deviating fails the suite.
"""

from properties.divergence import Divergence

DIVERGENCES: tuple[Divergence, ...] = ()
