"""A worked example of a stranger's backend: max and average pooling as one Triton kernel.

    tox -e conform-triton
    tox -e conform-torch -- --backend examples/triton_backend.py:TritonBackend
    tox -e bench -- --backend examples/triton_backend.py:TritonBackend --backend torch:cuda

It needs the packages torch and triton and a CUDA device, and says which of them is missing. With
TRITON_INTERPRET=1 in the environment, as the first of these commands sets it, Triton's interpreter runs
the same kernel on the CPU: slow, and enough to see whether it conforms.

Each program computes a block of outputs. It walks over the taps of their windows, and loads one element
of each window at a time, with a mask where the window leaves the image: what is masked is the identity
of the reduction, so padding is never read. The windows' overlap is read again from the caches. The size
of the window is a compile-time constant, so each size is compiled once, in `bind`.
"""
# Without types, and with plain dicts for capabilities: a backend need not know the classes of the suite.
# ruff: noqa: ANN001, ANN201, ANN202, ANN204, RUF012

import functools
import math
import os

import numpy as np

BLOCK = 256
CAN = {
    "windows": {"sliding"},
    "ndims": {1, 2},
    "dtypes": {"float32", "float16"},
    "layouts": {"channels_first", "channels_last"},
    "outputs": {"values"},
    "paddings": {"valid", "same_upper", "same_lower", "symmetric", "asymmetric"},
    "dilation": True,
    "ceil_mode": False,
    "count_include_pad": False,
    "divisor": False,
}


@functools.cache
def kernel():
    """The kernel; it is made here so that reading this file imports no framework, and compiled at its first launch."""
    import triton
    import triton.language as tl

    @triton.jit
    def pool(
        x, y, channels, height, width, out_height, out_width, outputs,
        x_sample, x_channel, x_row, x_column, y_sample, y_channel, y_row, y_column,
        stride_down, stride_right, pad_top, pad_left, dilation_down, dilation_right,
        kernel_down: tl.constexpr, kernel_right: tl.constexpr, average: tl.constexpr, size: tl.constexpr,
    ):  # fmt: skip
        # Which outputs are this program's; 64 bits, since a batch of images may have more than 2³¹ elements.
        output = tl.program_id(0).to(tl.int64) * size + tl.arange(0, size)
        mine = output < outputs
        column, rest = output % out_width, output // out_width
        row, plane = rest % out_height, rest // out_height
        channel, sample = plane % channels, plane // channels

        top, left = row * stride_down - pad_top, column * stride_right - pad_left
        image = x + sample * x_sample + channel * x_channel
        best = tl.full((size,), float("-inf"), tl.float32)
        # In float64 no partial sum of float32 overflows, which would turn a later infinity into NaN.
        total = tl.zeros((size,), tl.float64)
        count = tl.zeros((size,), tl.float64)
        for i in range(kernel_down):
            down = top + i * dilation_down
            for j in range(kernel_right):
                right = left + j * dilation_right
                inside = mine & (down >= 0) & (down < height) & (right >= 0) & (right < width)
                element = tl.load(image + down * x_row + right * x_column, mask=inside, other=0.0).to(tl.float32)
                if average:
                    total += element.to(tl.float64)
                    count += inside.to(tl.float64)
                else:
                    # Without `propagate_nan` a maximum drops a NaN; the definition keeps it.
                    best = tl.maximum(best, tl.where(inside, element, float("-inf")), propagate_nan=tl.PropagateNan.ALL)
        # Rounded once, here; programs have outputs past the last one, whose windows have no element.
        pooled = total / tl.maximum(count, 1.0) if average else best
        target = y + sample * y_sample + channel * y_channel + row * y_row + column * y_column
        tl.store(target, pooled.to(y.dtype.element_ty), mask=mine)

    return pool


class TritonBackend:
    """Max and average pooling, forward, in one and two dimensions, in both layouts."""

    name = "triton"
    capabilities = {"max": CAN, "average": CAN}
    compiles = True  # so that laws ask fewer sizes of windows, and stack more values in each

    def __init__(self):
        """Raise ImportError without torch or triton, RuntimeError without a device to run on."""
        import torch
        import triton

        interpreted = os.environ.get("TRITON_INTERPRET") == "1"
        if not interpreted and not torch.cuda.is_available():
            raise RuntimeError(f"PyTorch {torch.__version__} sees no CUDA device; TRITON_INTERPRET=1 interprets the kernel on the CPU")
        self.torch, self.version = torch, triton.__version__
        self.place_on = "cpu" if interpreted else "cuda"
        self.device = "cpu" if interpreted else f"cuda:0 {torch.cuda.get_device_name(0)}"
        if not interpreted:
            self.cache = torch.cuda.get_device_properties(0).L2_cache_size
        self.event = None

    def gap(self, case):
        """Nothing: whatever the capabilities say can be asked."""

    def bind(self, case):
        """Place x and compile; the call launches the kernel, and waits for it."""
        launch, wait = self.enqueue(case)
        launch()  # the first launch compiles
        wait()

        def call():
            pooled = launch()
            wait()
            return pooled

        return call

    def enqueue(self, case):
        """(launch, wait): between two waits many launches can be timed."""
        case.spec.check(case.spatial)  # raises what the definition calls invalid
        windows, shape, outputs = case.spec.windows, case.pooled_shape, math.prod(case.pooled_shape)
        x = self.place(case.x, case.layout)
        pads = [windows.pads(axis, size)[0] for axis, size in enumerate(case.spatial)]
        kernel_down, kernel_right = plane(windows.kernel, 1)
        sizes = (case.x.shape[1], *plane(case.spatial, 1), *plane(shape[2:], 1), outputs)
        steps = (*plane(windows.stride, 1), *plane(pads, 0), *plane(windows.dilation, 1))
        average, pool = case.spec.reduction.name == "average", kernel()

        def launch():
            y = self.empty(shape, x.dtype, case.layout)
            if outputs:
                pool[(math.ceil(outputs / BLOCK),)](
                    x, y, *sizes, *strides(x), *strides(y), *steps,
                    kernel_down=kernel_down, kernel_right=kernel_right, average=average, size=BLOCK,
                )  # fmt: skip
            return y

        return launch, self.wait

    def wait(self):
        """Return when the device has finished, with the seconds between two events: of the last time and of now."""
        if self.place_on == "cpu":
            return None
        before, self.event = self.event, self.torch.cuda.Event(enable_timing=True)
        self.event.record()
        self.event.synchronize()
        return before.elapsed_time(self.event) / 1000 if before else 0.0

    def copying(self, nbytes):
        """(launch, wait) of a copy on the device: what it takes is the limit that the report holds a pooling against."""
        return self.torch.ones(nbytes, dtype=self.torch.uint8, device=self.place_on).clone, self.wait

    def transfers(self, case):
        """(send, take): x to the device, and an answer back, which are timed apart from the pooling."""

        def send():
            x = self.place(case.x, case.layout)
            self.wait()
            return x

        return send, lambda native: native.cpu()

    def place(self, array, layout):
        """The array on the device, channels last in memory where the layout says so; its axes stay (N, C, *spatial)."""
        tensor = self.torch.from_numpy(np.array(array, order="C")).to(self.place_on)
        return tensor.movedim(1, -1).contiguous().movedim(-1, 1) if layout == "channels_last" else tensor

    def empty(self, shape, dtype, layout):
        """Room for the answer, in the same layout."""
        if layout == "channels_first":
            return self.torch.empty(shape, dtype=dtype, device=self.place_on)
        samples, channels, *spatial = shape
        return self.torch.empty((samples, *spatial, channels), dtype=dtype, device=self.place_on).movedim(-1, 1)

    def fetch(self, native):
        """Back to NumPy."""
        return native.cpu().numpy()


def plane(sizes, otherwise):
    """Two sizes, down and right; a line is a plane of one row, with `otherwise` down."""
    return tuple(sizes) if len(sizes) == 2 else (otherwise, *sizes)


def strides(tensor):
    """A tensor's strides as (sample, channel, row, column), in elements."""
    sample, channel, *spatial = tensor.stride()
    return sample, channel, *plane(spatial, 0)
