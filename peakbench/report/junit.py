"""A verdict as JUnit XML: one test case for each metric or field that is gated.

Only what passed is a passing case. Undecided is a failure, not a skip, and what cannot be compared an error: a CI that
reads the file must not show green where the gate did not open.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree as Xml

from peakbench.analysis.gating.judgement import Verdict
from peakbench.report.gating import verdict_page
from peakbench.report.tables import neutral

SUITE = "peakbench gate"
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(found: Verdict) -> bytes:
    """Return the XML of a verdict."""
    suite = Xml.Element("testsuite", name=SUITE)
    for one in found.metrics:
        case = _case(suite, one.label, found.run.model)
        if one.verdict == "passed":
            continue
        kind = "error" if one.verdict == "not comparable" else "failure"
        problem = Xml.SubElement(
            case, kind, message=_text("; ".join(one.reasons) or one.verdict), type=one.verdict.replace(" ", "-")
        )
        problem.text = _text(verdict_page(found).text(), keep="\n")
    return _written(suite)


def junit_error(what: str) -> bytes:
    """Return the XML of a gate that could not be held at all, so that no file from before stands for it."""
    suite = Xml.Element("testsuite", name=SUITE)
    problem = Xml.SubElement(_case(suite, "gate", ""), "error", message=_text(what), type="not-run")
    problem.text = _text(what, keep="\n")
    return _written(suite)


def _case(suite: Xml.Element, name: str, model: str) -> Xml.Element:
    class_name = f"peakbench.gate.{model}" if model else "peakbench.gate"
    return Xml.SubElement(suite, "testcase", name=_text(name), classname=_text(class_name), time="0")


def _written(suite: Xml.Element) -> bytes:
    counts = {"tests": len(suite)}
    counts |= {f"{kind}s": len(suite.findall(f"testcase/{kind}")) for kind in ("failure", "error")}
    for name, count in {**counts, "skipped": 0}.items():
        suite.set(name, str(count))
    suite.set("time", "0")
    suites = Xml.Element("testsuites", {name: str(count) for name, count in counts.items()})
    suites.append(suite)
    Xml.indent(suites)
    data: bytes = Xml.tostring(suites, encoding="utf-8", xml_declaration=True)
    return data + b"\n"


def _text(text: str, keep: str = "") -> str:
    r"""Return what XML 1.0 may hold: the rest stands as an escape.

    >>> _text("a\x00b\ud800c\uffffd")
    'a\\x00b\\ud800c\\uffffd'
    """
    return _NOT_XML.sub(lambda found: f"\\u{ord(found.group()):04x}", neutral(text, keep=keep))
