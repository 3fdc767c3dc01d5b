r"""A backend of your own, whole: pooling by NumPy's window view. Copy it, and put your kernel into `bind`.

    tox -e conform -- --backend examples/my_backend.py:MyBackend      every law, against the definition
    tox -e bench -- --backend examples/my_backend.py:MyBackend        layers of real networks, checked and timed
    python -m properties 'max sliding kernel=2,2 values channels_first x=float32:1,1,2,2:nan,0x3' \
        --backend examples/my_backend.py:MyBackend                    one case again

A backend is any object with the six attributes below. It imports nothing of the suite: the case that it
is given brings what it needs. CONTRIBUTING.md says what each attribute promises.
"""
# Without types, and with plain dicts for capabilities: a backend need not know the classes of the suite.
# ruff: noqa: ANN001, ANN201, ANN202, RUF012

import numpy as np

CAN = {
    "windows": {"sliding"},
    "ndims": {1, 2, 3},
    "dtypes": {"float32", "float64"},
    "layouts": {"channels_first", "channels_last"},
    "outputs": {"values"},
    "dilation": True,
    "ceil_mode": False,
    "count_include_pad": False,
    "divisor": False,
}


class MyBackend:
    """Max and average pooling of floats, forward, in one to three dimensions."""

    name = "my-backend"
    version = np.__version__

    # What can be asked, by reduction: laws draw inside it, and the report lists it. "lp" is absent, so it is never asked.
    capabilities = {
        "max": {**CAN, "paddings": {"valid", "symmetric", "asymmetric"}},
        "average": {**CAN, "paddings": {"valid"}, "dtypes": {"float32"}},
    }

    def gap(self, case):
        """Why this case, inside the capabilities, cannot be asked; None if it can."""
        if case.spec.reduction.name == "average" and any(d > 1 for d in case.spec.windows.dilation):
            return "cannot say: an average over dilated windows"
        return None

    def bind(self, case):
        """Everything that is not to be timed: x is (N, C, *spatial), whatever its strides; what comes back is the call alone."""
        case.spec.check(case.spatial)  # raises what the definition calls invalid: stride 0, a window larger than its input, ...
        windows, x = case.spec.windows, case.x
        if case.layout == "channels_last":
            x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
        if windows.padding != "valid":
            # Padding is never read: it is the identity of the reduction, −∞ for max.
            x = np.pad(x, ((0, 0), (0, 0), *windows.padding), constant_values=-np.inf)
        reaches = tuple(d * (k - 1) + 1 for k, d in zip(windows.kernel, windows.dilation, strict=True))
        view = np.lib.stride_tricks.sliding_window_view(x, reaches, axis=tuple(range(2, x.ndim)))
        steps = (slice(None, None, s) for s in windows.stride)
        taps = (slice(None, None, d) for d in windows.dilation)
        view = view[(slice(None), slice(None), *steps, *taps)]
        inner = tuple(range(-len(reaches), 0))
        if case.spec.reduction.name == "max":
            return lambda: view.max(axis=inner)

        def average():
            with np.errstate(invalid="ignore"):  # ∞ − ∞ is NaN by the definition: nothing to warn of
                # In float64 no partial sum of float32 overflows, which would turn a later infinity into NaN.
                return view.mean(axis=inner, dtype=np.float64).astype(np.float32)

        return average

    def fetch(self, native):
        """Back to a NumPy array of the shape (N, C, *out) and x's dtype."""
        return native
