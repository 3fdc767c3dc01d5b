"""Every workload on every backend, layout and output that was chosen: checked, then timed.

    pytest benchmarks/test_speed.py --benchmark-enable --backend torch --level quick

`python -m benchmarks` does the same with a process for each backend, progress and a time limit.
"""

import pytest


@pytest.mark.filterwarnings("ignore:Benchmark fixture was not used at all")  # what fails before its first round is recorded, not warned of
def test_speed(timing, benchmark):
    """A workload pools right, and as fast as is recorded."""
    timing.run(benchmark)
