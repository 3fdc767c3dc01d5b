"""The table of bad calls is data that can be pasted, and is asked of those it is about."""

import ast
import fnmatch

import pytest

from properties import bad_calls, bad_calls_torch_compiled
from properties.bad_calls import BadCall

EVERY = [(form, call) for form in bad_calls.FORMS for call in bad_calls.calls(form)]


@pytest.mark.parametrize("form, call", EVERY, ids=[f"{form}-{call.id}" for form, call in EVERY])
def test_a_call_is_a_script(form, call):
    """Each call is, in each form, a script that imports its framework, defines a call that returns, and makes it."""
    tree = ast.parse(call.script(form))
    (function,) = (node for node in tree.body if isinstance(node, ast.FunctionDef))
    assert isinstance(tree.body[0], ast.Import) and tree.body[0].names[0].name == form.partition(":")[0]
    assert isinstance(function.body[-1], ast.Return)
    assert isinstance(tree.body[-1], ast.Expr)


@pytest.mark.parametrize("form", bad_calls.FORMS)
def test_ids_are_unique_words(form):
    """An id names one call of a framework, and is one word: rows of divergences list them."""
    ids = [call.id for call in bad_calls.calls(form)]
    assert len(set(ids)) == len(ids) > 0
    assert [name for name in ids if name.split() != [name]] == []


@pytest.mark.parametrize("name", ["numpy", "torch:cuda", "path/to/file.py:Stranger", "package.module:Stranger"])
def test_others_have_no_native_calls(name):
    """A backend without a form, a stranger's for one, has no native calls."""
    assert bad_calls.calls(name) == ()


def test_compiled_calls_are_compiled():
    """Each native call of compiled PyTorch is compiled as the adapter does it, and some are asked whatever the profile."""
    calls = bad_calls.calls("torch:compile")
    whole = "torch.compile(lambda {}, fullgraph=True, dynamic=False)"
    assert [call.id for call in calls if not fnmatch.fnmatch(call.script("torch:compile"), f"*{whole.format('*')}*")] == []
    assert {call.id for call in calls if not call.slow} == bad_calls_torch_compiled.IN_SHORT


def test_the_last_statement_is_the_call():
    """Of several lines the last statement is returned, one of several lines included."""
    call = BadCall(id="x", violates="", code="a = 1\nf(\n    a,\n)")
    assert "    a = 1\n    return f(\n        a,\n    )\n" in call.script("torch")


STRANGER = {
    "windows": {"sliding"}, "ndims": {2}, "dtypes": {"float64"}, "layouts": {"channels_first"}, "outputs": {"values"},
    "paddings": {"valid"}, "dilation": False, "ceil_mode": False, "count_include_pad": False, "divisor": False,
}  # fmt: skip


def test_a_stranger_is_asked_what_it_says_it_can():
    """A backend that can do little is asked about those violations alone that it can be asked, in its own terms."""
    asked = {violation: list(bad_calls.bad_cases(violation, {"max": STRANGER})) for violation in bad_calls.VIOLATIONS}
    said = {violation for violation, cases in asked.items() if cases}
    assert {"window larger than the input", "stride 0", "a kernel of higher rank than x", "a kernel of lower rank than x"} <= said
    assert not {violation for violation in said if "dilation" in violation or "padding" in violation or "cotangent" in violation}
    assert all(
        (case.x.dtype.name, case.output, case.layout) == ("float64", "values", "channels_first")
        for cases in asked.values()
        for case in cases
    )


@pytest.mark.parametrize("violation", sorted(bad_calls.OF_STRANGERS - {"window larger than the input, first axis"}))
def test_square_windows_stay_square(violation):
    """A stranger that takes square windows alone is asked with those."""
    cases = list(bad_calls.bad_cases(violation, {"max": {**STRANGER, "dilation": True}}, square=True))
    assert [len(set(case.spec.windows.kernel)) for case in cases] == [1]


@pytest.mark.parametrize("square", [True, False])
def test_plain_cases_are_valid(square):
    """What the violations change is valid to begin with."""
    everything = {**STRANGER, "ndims": {1, 2, 3}}
    cases = list(bad_calls.plain_cases({"max": everything, "average": everything, "lp": everything}, square=square))
    assert len(cases) == 9
    assert [case.spec.check(case.spatial) for case in cases] == [None] * 9


def test_time_that_ends_leaves_others_out():
    """Violations begin at different cases, so that what a short time leaves out is another reduction or dimension each time."""
    can = {**STRANGER, "ndims": {1, 2, 3}, "outputs": {"values", "indices"}}
    every = {"max": can, "average": {**can, "outputs": {"values"}}}
    cases = {violation: list(bad_calls.bad_cases(violation, every)) for violation in sorted(bad_calls.OF_STRANGERS)}
    turned = {violation: bad_calls.turned(violation, given) for violation, given in cases.items()}
    assert all(sorted(map(id, turned[violation])) == sorted(map(id, given)) for violation, given in cases.items())
    firsts = {(given[0].spec.reduction.name, given[0].x.ndim, given[0].output) for given in turned.values() if given}
    assert len(firsts) > 2
