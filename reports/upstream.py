"""A divergence as the bug report that a framework's maintainer wishes for."""

from collections.abc import Mapping

from reports import summary
from reports.deviations import Deviation
from reports.record import Environment, Loaded
from reports.render import markdown_code, markdown_text, templates
from reports.words import listed

BESIDE = {"tensorflow": ("keras",), "jax": ("jaxlib",)}
"""Packages that belong to a framework, and that its maintainers ask about."""


class UnknownDivergence(ValueError):
    """No divergence of these records has that id; the message lists those that there are."""


def written(loaded: Loaded, ident: str) -> str:
    """The divergence with that id, or the deviation with that anchor, as a bug report in Markdown.

    Raises:
        UnknownDivergence: the records have none.
    """
    known: dict[str, tuple[Deviation, Environment]] = {}
    for run in summary.summarise(loaded).runs:
        for deviation in run.deviations:
            for name in (deviation.anchor, deviation.id):
                if name is not None:
                    known.setdefault(name, (deviation, run.environment))
    if ident not in known:
        there = sorted({deviation.id or deviation.anchor for deviation, _ in known.values()})
        raise UnknownDivergence(f"divergence {ident!r}: not in these records; they have {listed(there, most=100) or 'none'}")
    deviation, environment = known[ident]
    text = templates().get_template("upstream.md.j2").render(
        deviation=deviation, environment=environment, packages=_packages(deviation, environment), md=markdown_text, code=markdown_code
    )  # fmt: skip
    return str(text).strip() + "\n"


def _packages(deviation: Deviation, environment: Environment) -> Mapping[str, str]:
    """The packages that a maintainer asks for: the framework's own, and NumPy."""
    frameworks = {name.partition(":")[0] for name in deviation.backends}
    wanted = frameworks.union({"numpy"}, *(BESIDE.get(name, ()) for name in frameworks))
    return {name: version for name, version in environment.packages.items() if name in wanted}
