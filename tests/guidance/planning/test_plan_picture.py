"""The picture of a plan."""

import numpy as np
import pytest
from PIL import Image

from fluoroscope.app.guidance.plan_picture import PANEL_PX, draw_plan
from fluoroscope.geometry.table import PatientPosition
from fluoroscope.guidance.planning import plan


@pytest.mark.req("REQ-GUI-038")
def test_the_picture_shows_path_and_target_where_they_are(open_boards, tmp_path):
    one = plan(open_boards, "lumbar-puncture", "L3-L4", limit=1)[0]
    draw_plan(open_boards, one, PatientPosition.HFP, "boards", tmp_path / "plan.png")
    pixels = np.asarray(Image.open(tmp_path / "plan.png")).astype(int)
    assert pixels.shape[1] > 2 * PANEL_PX
    target = np.all(np.abs(pixels - (255, 80, 80)) < 10, axis=2)
    path = np.all(np.abs(pixels - (255, 214, 90)) < 10, axis=2)
    for rows in (slice(58, 58 + PANEL_PX), slice(58 + PANEL_PX + 30, 58 + 2 * PANEL_PX + 30)):
        assert target[rows].sum() > 60
        assert path[rows].sum() > 30
    assert not list(tmp_path.glob("*.partial"))
