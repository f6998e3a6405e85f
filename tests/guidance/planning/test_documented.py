"""The page of procedures says what the program does."""

from pathlib import Path

import pytest

from fluoroscope.guidance.planning import PROCEDURES

PAGE = Path(__file__).parents[3] / "docs" / "explanations" / "procedures.md"


@pytest.mark.req("REQ-GUI-037")
@pytest.mark.parametrize("name", list(PROCEDURES))
def test_the_page_tells_every_procedures_numbers_and_sources(name):
    text, one = PAGE.read_text(encoding="utf-8"), PROCEDURES[name]
    part = text.partition(f"`{name}` · ")[2].partition("\n## ")[0]
    assert one.target in part
    assert one.view in part
    for number in one.sources:
        assert f"| {number.what} | {number.source} | {'✓' if number.verified else 'unverified'} |" in part
    for way in one.approaches:
        for cone in (way.cone, *(way.cone_at or {}).values()):
            low, high = cone.lateral_deg
            assert f"lateral {low:g} to {high:g}°" in part
