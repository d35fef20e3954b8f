"""Text as HTML: code in backquotes, and small print in brackets."""

from __future__ import annotations

from pipeline.pages import html


def test_text_may_contain_code_and_cells_small_print() -> None:
    assert html.paragraph("run `a <b> --c` now") == (
        "<p>run <code><span>a</span> <span>&lt;b&gt;</span> <span>--c</span></code> now</p>"
    )
    assert '<th scope="row">x <small>why</small></th><td>1 <small>2%</small></td>' in html.table(
        [["x [why]", "1 [2%]"]]
    )
