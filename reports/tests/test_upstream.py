"""A divergence as a bug report."""

import pytest

from reports import __main__ as command
from reports import record, upstream
from reports.tests import samples


def _written(folder, ident, *lines):
    samples.write(folder, lines or [*samples.around(), *samples.deviating()])
    return upstream.written(record.load(folder), ident)


def test_a_report_has_what_a_maintainer_needs(tmp_path):
    """A bug report has the code, what was got, what was expected and by which sentence, and the versions."""
    text = _written(tmp_path, samples.NAN_DROPPED)
    parts = [
        "# A NaN in the window of a max is dropped\n", "```python\nimport tensorflow as tf\n", "## Got\n\n```\n1.0\n```",
        "## Expected\n\n```\nnan\n```",
        "The documentation says: tf.math.maximum: NaN is propagated.", "tensorflow 2.21.0", "since 2.0", "CPython 3.11.7",
        "https://github.com/tensorflow/tensorflow/issues/12345",
    ]  # fmt: skip
    assert [part for part in parts if part not in text] == []


@pytest.mark.parametrize(
    "verdict, outcome, said",
    [
        ("crash", "signal:SIGFPE", "kills the process: SIGFPE"),
        ("crash", "hangs", "does not return"),
        ("crash", "returns", "must raise an exception"),
        ("precision", "wrong", "loses accuracy"),
        ("convention", "wrong", "the documentation says so"),
        ("bug", "wrong", "gives a wrong result"),
    ],
)
def test_a_report_says_what_sort_it_is(tmp_path, verdict, outcome, said):
    """Its first sentence says what happens, for each verdict and outcome."""
    line = record.KnownDivergence(id="x", backend="numpy", verdict=verdict, outcome=outcome, smallest="max x=1")
    assert said in _written(tmp_path, "x", line)


def test_a_deviation_that_is_new_has_a_report_too(tmp_path):
    """An unexplained deviation is exported by its anchor."""
    text = _written(tmp_path, "new-kernel-py-pool-conforms-to-the-definition-753490")
    assert "print(kernel.average([1, 1, 1, 1], k=3, s=2))" in text and "more than 1.19e-07" in text


def test_an_unknown_id_lists_what_there_is(tmp_path, capsys):
    """An id that the records lack exits with 2 and lists those that there are."""
    samples.write(tmp_path, [*samples.around(), *samples.deviating()])
    status = command.main(["upstream", "nothing", "--records", str(tmp_path)])
    assert status == 2 and samples.NAN_DROPPED in capsys.readouterr().err


def test_the_command_prints_the_report(tmp_path, capsys):
    """`upstream ID` prints the report and nothing else."""
    samples.write(tmp_path, [*samples.around(), *samples.deviating()])
    status = command.main(["--records", str(tmp_path), "upstream", samples.CRASH])
    assert status == 0 and capsys.readouterr().out.startswith("# A window larger than the input kills the process\n")


def test_code_cannot_close_its_fence(tmp_path):
    """Code that holds a fence stays inside its own."""
    line = record.KnownDivergence(id="x", backend="numpy", verdict="bug", native='print("""\n```\n# not a heading""")', smallest="s")
    assert '````python\nprint("""\n```\n# not a heading""")\n````' in _written(tmp_path, "x", line)
