"""A CUDA device of which only the bookkeeping is there: its events are read from a clock that a test moves."""

import types


class Event:
    """An event that the device has passed when it is waited for."""

    milliseconds = 0.0

    def __init__(self, *, enable_timing):
        self.timed, self.recorded, self.at = enable_timing, False, None

    def record(self):
        self.recorded = True

    def synchronize(self):
        assert self.recorded
        self.at = Event.milliseconds

    def elapsed_time(self, end):
        assert self.timed and end.timed
        return end.at - self.at


def imagine(torch, monkeypatch):
    """Let PyTorch see the device; what is placed there must be told to lie on the CPU."""
    fake = {
        "is_available": lambda: True,
        "current_device": lambda: 0,
        "get_device_name": lambda *_: "Imaginary",
        "get_device_properties": lambda _number: types.SimpleNamespace(L2_cache_size=50 << 20),
        "synchronize": lambda: None,
        "Event": Event,
    }
    for name, value in fake.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(Event, "milliseconds", 1000.0)
