"""The page, the Markdown and the JSON: nothing of a record's text is ever markup."""

import dataclasses
import json
import re
from html.parser import HTMLParser

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from reports import record, render, summary
from reports.tests import samples

HOSTILE = "<script>alert('x')</script><img src=x onerror=alert(1)>\"'`|*_[a](javascript:alert(1))</details>&amp;\n# x"


class _Elements(HTMLParser):
    """Every element of a page with its attributes."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def _hostile_run(folder, text):
    """A run each of whose texts is hostile."""
    samples.write(folder, [
        samples.observation(text, law=text, case=text, question=samples.question(dtype=text, values=text)),
        samples.observation(text, "diverges", law=text, case=text, expected=text, actual=text, bound=text, message=text, native=text),
        samples.observation(text, "diverges", divergence=text.replace(",", ""), question=samples.question(padding=text)),
        record.Loading(backend=text, status="loaded", version=text, device=text, message=text, build={text: text},
                       capabilities={text: samples.capabilities(dtypes=[text])}),
        record.Loading(backend="absent", status="broken", message=text),
        record.Gap(backend=text, reduction=text, reason=text, question={text: text}),
        record.Tally(law=text, claim=text, backend=text, status="failed", message=text),
        record.KnownDivergence(id=text.replace(",", ""), backend=text, verdict="bug", smallest=text, observed=text,
                               upstream=f"javascript:{text}", native=text, description=text, documentation=text, since=text, versions=text),
        record.Experiment(experiment=text, claim=text, backend=text, sentence=text, numbers={text: {"value": 1.0, "unit": text}}),
        record.Porting(way=text, title=text, framework=text, version=text, imports=text, code=text, verified=False, text=text),
        record.Mutant(mutant=text, family=text, killed_by=text, description=text),
        record.BenchmarkProblem(workload=text, backend=text, layout=text, output=text, status="error", message=text),
    ])  # fmt: skip


def _page(folder):
    told = summary.summarise(record.load(folder))
    page, problems = render.html(told, [folder], "Made now")
    assert problems == []
    return page.encode("utf-8", "backslashreplace").decode(), told


def _skeleton(page):
    return [(tag, sorted(attributes)) for tag, attributes in _Elements(page).found]


@settings(max_examples=15, suppress_health_check=list(HealthCheck))
@given(text=st.text(st.characters(), min_size=1, max_size=30).filter(lambda text: text.replace(",", "").strip()) | st.just(HOSTILE))
def test_no_text_is_markup(tmp_path_factory, text):
    """Whatever a record's texts hold, the page has no script but its own, no handler and no address but data and links."""
    folder = tmp_path_factory.mktemp("records")
    _hostile_run(folder, text)
    elements = _Elements(_page(folder)[0]).found
    assert [tag for tag, _ in elements].count("script") == 2
    assert not [name for _, attributes in elements for name in attributes if name.startswith("on")]
    addresses = [value for _, attributes in elements for name, value in attributes.items() if name in ("href", "src") and value]
    assert all(value.startswith(("#", "data:image/webp;base64,")) for value in addresses)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=5) | st.sampled_from(["numpy", "max", "finite", "x", "1-D"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5) | st.sampled_from(["max", "windows", "values", "value"]), inner, max_size=2),
    max_leaves=5,
)  # fmt: skip


USUAL = {
    "str": st.sampled_from(["numpy", "x", "max"]),
    "int": st.integers(0, 9),
    "float": st.floats(0, 9),
    "Mapping": st.dictionaries(st.sampled_from(["max", "dtype", "values", "windows", "x"]), JSON, max_size=3),
    "tuple": st.lists(JSON, max_size=2),
}


@st.composite
def _lines(draw):
    """A line of a kind that there is, some of whose fields hold anything that JSON can."""
    kind = draw(st.sampled_from(sorted(record.KINDS)))
    fields = {}
    for field in dataclasses.fields(record.KINDS[kind]):
        words = record.KINDS[kind].words.get(field.name)
        held = re.search("|".join(USUAL), str(field.type))
        usual = st.sampled_from(words) if words else USUAL[held[0]] if held else JSON
        if draw(st.booleans()) or field.default is dataclasses.MISSING:
            fields[field.name] = draw(usual if draw(st.integers(0, 40)) else JSON)
    return {**fields, "kind": kind, "schema": 1, "environment": draw(st.sampled_from(["a", "a", "b"]))}


@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(lines=st.lists(_lines(), min_size=1, max_size=12))
def test_no_line_breaks_the_report(tmp_path_factory, lines):
    """Whatever lines a file holds, each is in the report or a problem, and the report is made."""
    folder = tmp_path_factory.mktemp("records")
    (folder / "records.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    loaded = record.load(folder)
    kept = sum(len(getattr(loaded, name)) for name in vars(loaded) if name not in ("folders", "problems", "benchmarks", "arrays"))
    assert kept + len(loaded.problems) == len(lines)
    event(f"{10 * kept // len(lines)} tenths read")
    told = summary.summarise(loaded)
    page, _ = render.html(told, [folder], "Made now") if told.runs else ("<!doctype html>", [])
    assert page.startswith("<!doctype html>") and json.loads(render.tables(told)) and render.markdown(told, "Made now")


def test_a_script_in_a_name_is_shown_as_text(tmp_path):
    """A backend called <script> is shown by that name, in the page and in Markdown."""
    samples.write(tmp_path, [samples.observation("<script>alert(1)</script>")])
    page, told = _page(tmp_path)
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>" not in render.markdown(told, "") and "&lt;script&gt;" in render.markdown(told, "")


def test_a_page_asks_for_nothing(tmp_path):
    """A page has its own style, script and data, and a policy that forbids everything else."""
    samples.whole_run(tmp_path)
    page, _ = _page(tmp_path)
    elements = _Elements(page).found
    assert not [tag for tag, _ in elements if tag in ("link", "iframe", "object", "embed", "base")]
    assert [attributes for tag, attributes in elements if tag == "script"] == [{"type": "application/json", "id": "data"}, {}]
    assert "default-src 'none'" in page and not re.search(r"url\(|@import", page)


def test_every_link_leads_somewhere(tmp_path):
    """Every link within the page has its target, and no two elements share an id."""
    samples.whole_run(tmp_path)
    samples.whole_run(tmp_path, samples.ELSEWHERE)
    elements = _Elements(_page(tmp_path)[0]).found
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    links = {
        attributes["href"].removeprefix("#").partition("?")[0]
        for tag, attributes in elements
        if tag in ("a", "use") and attributes["href"].startswith("#")
    }
    assert len(ids) == len(set(ids)) and links <= set(ids)


def test_each_shape_that_is_used_exists(tmp_path):
    """Every state has a shape of its own beside its word."""
    samples.whole_run(tmp_path)
    page, _ = _page(tmp_path)
    drawn = [
        re.sub(r'<symbol id="[^"]*"', "", shape)
        for shape in re.findall(r'<symbol id="i-(?:diverges|crash|bug|precision|convention|conforms|gap|not-run)".*?</symbol>', page)
    ]
    assert len(set(drawn)) == 8


def test_a_cell_leads_to_its_smallest_case(tmp_path):
    """The data of a cell that deviates has its deviation, and the smallest case that deviates there."""
    samples.whole_run(tmp_path)
    page, _ = _page(tmp_path)
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])
    cell = data["cells"]["cell-tensorflow-values-nan"]
    case = data["cases"][cell["examples"][0]]
    assert (cell["state"], cell["deviations"]) == ("bug", ["d-tensorflow-max-drops-nan"])
    assert (case["expected"], case["actual"]) == ("nan", "1.0") and "nan" in case["case"]


@pytest.mark.parametrize(
    "address, linked", [("https://github.com/x/y/issues/1", True), ("javascript:alert(1)", False), ("data:text/html,x", False)]
)
def test_only_web_addresses_are_links(tmp_path, address, linked):
    """An upstream address is a link if it is one of the web, else text."""
    samples.write(tmp_path, [record.KnownDivergence(id="x", backend="numpy", verdict="bug", upstream=address)])
    page, _ = _page(tmp_path)
    assert (f'href="{address}"' in page) == linked and address in page


def test_markdown_is_cut_to_what_a_summary_may_hold(tmp_path):
    """A summary of thousands of deviations stays under 60 kB, with the verdict first and a note where it was cut."""
    samples.write(
        tmp_path, (samples.observation(law=f"law {number}", status="diverges", native="`" * 5 + "x" * 300) for number in range(1000))
    )
    told = summary.summarise(record.load(tmp_path))
    text = render.markdown(told, "Made now")
    assert (
        len(text.encode()) < render.MOST_MARKDOWN
        and text.startswith("# numpy deviates")
        and text.endswith("the HTML report has the rest.\n")
    )


def test_a_page_too_large_leaves_out_its_pictures(tmp_path, monkeypatch):
    """A page that would be larger than allowed has no pictures, and says so."""
    samples.whole_run(tmp_path)
    with_pictures, told = _page(tmp_path)
    monkeypatch.setattr(render, "MOST_HTML", len(with_pictures.encode()) - 100)
    page, _ = render.html(told, [tmp_path], "Made now")
    assert "<img" in with_pictures and "<img" not in page and "Pictures were left out" in page


def test_tables_are_strict_json(tmp_path):
    """tables.json holds every table of every run, and no NaN."""
    samples.whole_run(tmp_path)
    read = json.loads(render.tables(_page(tmp_path)[1]), parse_constant=pytest.fail)
    (run,) = read["runs"]
    assert read["schema"] == 1 and {
        "matrix",
        "deviations",
        "laws",
        "coverage",
        "support",
        "gaps",
        "speed",
        "experiments",
        "porting",
    } <= set(run)
    assert run["experiments"][0]["numbers"]["drift"]["value"] == "nan"


def test_a_page_that_is_still_too_large_keeps_the_smallest_cases_alone(tmp_path, monkeypatch):
    """Where leaving out pictures is not enough, further cases go as well; what does not fit even then is a problem that says so."""
    samples.whole_run(tmp_path)
    whole, told = _page(tmp_path)
    monkeypatch.setattr(render, "MOST_HTML", len(whole.encode()) // 4)
    page, problems = render.html(told, [tmp_path], "Made now")
    assert "all but the smallest case of each deviation, were left out" in page and len(page) < len(whole)
    assert any(problem.file == "index.html" and "5 MB are what it may have" in problem.message for problem in problems)
