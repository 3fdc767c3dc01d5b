"""What a run left behind, read and told: records in, one page out.

Nothing here imports a backend or a framework: the files of a run (`record.py` says which) are the
only link between measuring and reporting, so that a report can be built anywhere, and again later.
"""
