"""How fast each backend pools, measured so that a number is worth acting on.

`python -m benchmarks` runs them with a process for each backend, and says how long it will take;
`pytest benchmarks/test_speed.py` runs the same benchmarks in one process. Nothing here imports a
framework.
"""
