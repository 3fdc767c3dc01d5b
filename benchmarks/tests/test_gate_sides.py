import subprocess

import pytest

from benchmarks import gate_sides
from benchmarks.gate_data import Usage
from benchmarks.gate_sides import Choice, again, common, default_candidate, matches, merge_base


def row(name, quick=True, shape=(1, 2, 8), outputs=("values", "gradient"), words=("stage",)):
    return {"name": name, "spec": "[]", "shape": shape, "dtype": "float32", "outputs": outputs, "quick": quick, "words": words}


def listed(*rows):
    return {each["name"]: each for each in rows}


@pytest.mark.parametrize(
    "expression, found",
    [
        ("stem", True), ("STEM", True), ("resnet50-stem", True), ("vgg", False), ("vgg or stem", True), ("vgg and stem", False),
        ("not vgg", True), ("not (vgg or stem)", False), ("body and not head", True),
    ],
)  # fmt: skip
def test_an_expression_chooses_as_in_pytest(expression, found):
    """Words are parts of names, joined by and, or, not and parentheses."""
    assert matches(expression, ["resnet50-stem", "body"]) is found


@pytest.mark.parametrize("expression", ["and", "vgg or", "(vgg", "vgg stem"])
def test_an_expression_that_is_none_is_refused(expression):
    """A broken expression is a wrong command; nothing of it is ever run."""
    with pytest.raises(Usage, match="expected words"):
        matches(expression, ["vgg"])


def test_words_of_an_expression_are_never_code():
    """What looks like Python is a word like any other."""
    assert not matches("__import__.os", ["vgg"])


def test_what_both_sides_have_is_compared():
    """Questions are those that both sides ask under one name, as the level and the expression choose."""
    both = listed(row("a"), row("b", quick=False))
    assert [question.name for question in common(both, both, Choice())[0]] == ["a"]
    assert [question.name for question in common(both, both, Choice(level="all"))[0]] == ["a", "b"]
    assert [question.name for question in common(both, both, Choice(level="all", select="b"))[0]] == ["b"]


def test_outputs_have_names_of_their_own():
    """What is asked beside values is a workload of its own."""
    both = listed(row("a"))
    names = [question.name for question in common(both, both, Choice(outputs=("values", "gradient")))[0]]
    assert names == ["a", "a-gradient"]


def test_the_baseline_says_what_is_to_be_covered():
    """A workload that the candidate lacks, renames, or asks differently is lost; one that only it has is new."""
    baseline = listed(row("gone"), row("old", shape=(1, 3, 8)), row("changed", shape=(1, 4, 8)), row("same", shape=(1, 5, 8)))
    candidate = listed(
        row("renamed", shape=(1, 3, 8)), row("changed", shape=(1, 4, 9)), row("same", shape=(1, 5, 8)), row("added", shape=(1, 6, 8))
    )
    questions, uncovered = common(baseline, candidate, Choice())
    assert [question.name for question in questions] == ["same"]
    assert {(event.workload, event.kind) for event in uncovered} == {
        ("gone", "missing"), ("old", "renamed"), ("changed", "missing"), ("added", "new"),
    }  # fmt: skip


def test_a_choice_of_nothing_is_refused():
    """A choice that no workload meets is a wrong command, not an empty pass."""
    both = listed(row("a"))
    with pytest.raises(Usage, match="no workload is chosen"):
        common(both, both, Choice(select="b"))


def test_a_stored_baseline_says_what_is_measured_again():
    """Against a stored baseline its workloads are asked, those that are gone are lost."""
    questions, uncovered = again(["a", "a-gradient", "gone"], listed(row("a", quick=False), row("b")), Choice())
    assert [question.name for question in questions] == ["a", "a-gradient"]
    assert [(event.workload, event.kind) for event in uncovered] == [("gone", "missing")]


@pytest.fixture
def repository(tmp_path):
    """A repository whose branch `change` left `main` at its first commit."""

    def git(*arguments):
        command = ["git", "-C", str(tmp_path), "-c", "user.name=A", "-c", "user.email=a@example.org", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    git("init", "--quiet", "--initial-branch=main")
    git("commit", "--quiet", "--allow-empty", "-m", "1")
    git("checkout", "--quiet", "-b", "change")
    git("commit", "--quiet", "--allow-empty", "-m", "2")
    return tmp_path, git


def test_the_default_baseline_is_where_the_branch_left(repository, monkeypatch):
    """Without a word about it the baseline is the merge base with the main branch, or with the one that CI names."""
    folder, git = repository
    monkeypatch.delenv("GITHUB_BASE_REF", raising=False)
    assert merge_base(folder) == git("rev-parse", "main")
    monkeypatch.setenv("GITHUB_BASE_REF", "change")
    assert merge_base(folder) == git("rev-parse", "change")
    monkeypatch.setenv("GITHUB_BASE_REF", "gone")
    with pytest.raises(Usage, match="origin/gone or gone"):
        merge_base(folder)


@pytest.mark.parametrize("ci, candidate", [("true", "HEAD"), ("", ".")])
def test_the_default_candidate_is_head_in_ci(monkeypatch, ci, candidate):
    """CI judges what was committed, a desk what lies there."""
    monkeypatch.setenv("CI", ci)
    assert default_candidate() == candidate


def test_this_checkout_lists_its_workloads():
    """A side's own workloads come with their questions and the words that choose them."""
    found = gate_sides.ours()
    assert sum(each["quick"] for each in found.workloads.values()) == 10
    assert "numpy" in found.packages
