"""The verdict for machines that run tests: GitHub's annotations and JUnit XML."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

from benchmarks.gate_again import Again, of_run
from benchmarks.gate_data import Run
from benchmarks.gate_text import limits, line, within
from benchmarks.gate_verdict import Finding, Judgement, Verdict, percent
from benchmarks.table import seconds_text

MOST = 10
"""GitHub shows ten annotations of each level from one step."""


def annotations(run: Run, verdict: Verdict, again: Again | None = None) -> str:
    """Workflow commands, a line each: the verdict first, then each workload or finding that needs eyes.

    https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands
    """
    asked = again or of_run(run)
    level = {"pass": "notice", "invalid": "warning", "inconclusive": "warning"}.get(verdict.state, "error")
    told = [(level, "Gate", verdict.headline)]
    for one in verdict.having("regression", "inconclusive"):
        text = f"{one.workload} {percent(one.estimate)} ({within(one)}). Again: {asked.workload(one.workload)}"
        told.append(("error" if one.state == "regression" else "warning", "Slower" if one.state == "regression" else "Undecided", text))
    told += [(finding.level, finding.kind.replace("_", " ").capitalize(), finding.message) for finding in verdict.findings]
    shown: dict[str, int] = {}
    lines = []
    for level, title, message in told:
        shown[level] = shown.get(level, 0) + 1
        if shown[level] <= MOST:
            lines.append(annotation(level, title, message))
    return "\n".join(lines) + "\n"


def annotation(level: str, title: str, message: str) -> str:
    """One workflow command, a line."""
    return f"::{level} title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    """As GitHub's own toolkit escapes a message."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A").encode("utf-8", "backslashreplace").decode()


def _property(text: str) -> str:
    """As GitHub's own toolkit escapes a property."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")


# --- JUnit ----------------------------------------------------------------------------------------


def junit(run: Run, verdict: Verdict, again: Again | None = None) -> str:
    """JUnit XML: a case for each workload and each finding, in suites "speed" and "gate"; the gate's own verdict is a case too."""
    asked = again or of_run(run)
    root = ET.Element("testsuites", name="gate")
    _suite(root, "speed", run, (_workload(one, asked) for one in verdict.judgements))
    _suite(root, "gate", run, (_verdict(verdict), *(_finding(finding) for finding in verdict.findings)))
    for name in ("tests", "failures", "errors", "skipped"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in root)))
    return _document(root)


def refused_junit(message: str) -> str:
    """JUnit XML of a gate that ended before it measured: its own verdict is the one case, an error."""
    counts = {"tests": "1", "failures": "0", "errors": "1", "skipped": "0"}
    root = ET.Element("testsuites", {"name": "gate", **counts})
    case = ET.SubElement(
        ET.SubElement(root, "testsuite", {"name": "gate", **counts}), "testcase", classname="gate", name="verdict", time="0"
    )
    _told(case, "error", "invalid", message, message)
    return _document(root)


def write_junit(run: Run, verdict: Verdict, path: Path, again: Again | None = None) -> None:
    """Write it.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(junit(run, verdict, again), encoding="utf-8")


def _document(root: ET.Element) -> str:
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(root: ET.Element, name: str, run: Run, cases: Iterator[ET.Element] | tuple[ET.Element, ...]) -> None:
    suite = ET.SubElement(root, "testsuite", name=name, timestamp=_clean(run.started)[:19], hostname=_clean(run.machine.fingerprint))
    suite.extend(cases)
    counts = {"tests": len(suite), "failures": 0, "errors": 0, "skipped": 0}
    for case in suite:
        for word in ("failure", "error", "skipped"):
            counts[{"failure": "failures", "error": "errors"}.get(word, word)] += case.find(word) is not None
    for word, number in counts.items():
        suite.set(word, str(number))


def _workload(one: Judgement, asked: Again) -> ET.Element:
    case = ET.Element("testcase", classname="gate.speed", name=_clean(one.workload), time=f"{one.seconds[1]:.9f}")
    told = f"{percent(one.estimate)}, {within(one)}, p = {one.p:.2g}, red from {limits(one)[0]}"
    if one.state in ("regression", "different"):
        _told(case, "failure", one.state, one.message or told, f"{told}\nagain: {asked.workload(one.workload)}")
    elif one.state == "inconclusive":
        _told(case, "error", one.state, one.message, f"{told}\nagain: {asked.workload(one.workload)}")
    out = ET.SubElement(case, "system-out")
    out.text = _clean(
        f"{one.state}: {told}; {' then '.join(seconds_text(each) for each in one.seconds)} on {one.metric}, {one.pairs} pairs"
    )
    return case


def _verdict(verdict: Verdict) -> ET.Element:
    case = ET.Element("testcase", classname="gate", name="verdict", time="0")
    if verdict.state in ("regression", "coverage"):
        _told(case, "failure", verdict.state, verdict.headline, verdict.headline)
    elif verdict.state != "pass":
        _told(case, "error", verdict.state, verdict.headline, verdict.headline)
    ET.SubElement(case, "system-out").text = _clean(verdict.headline)
    return case


def _finding(finding: Finding) -> ET.Element:
    name = " ".join(part for part in (finding.kind, finding.workload, finding.side) if part)
    case = ET.Element("testcase", classname="gate.finding", name=_clean(name), time="0")
    if finding.state == "coverage":
        _told(case, "failure", finding.kind, finding.message, f"{finding.message}\n{finding.case}")
    elif finding.state != "pass":
        _told(case, "error", finding.kind, finding.message, finding.message)
    ET.SubElement(case, "system-out").text = _clean(f"{finding.message}\n{finding.case}".strip())
    return case


def _told(case: ET.Element, tag: str, kind: str, message: str, text: str) -> None:
    ET.SubElement(case, tag, type=kind, message=_clean(line(message))).text = _clean(text)


def _clean(text: str) -> str:
    """Without the characters that XML 1.0 does not have."""
    return re.sub("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "�", text)
