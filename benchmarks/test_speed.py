"""Every workload on every backend, layout and output that was chosen: checked, then timed.

    pytest benchmarks/test_speed.py --benchmark-enable --backend torch --level quick

`python -m benchmarks` does the same with a process for each backend, progress and a time limit.
"""


def test_speed(timing, benchmark):
    """A workload pools right, and as fast as is recorded."""
    timing.run(benchmark)
