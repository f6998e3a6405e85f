"""What the label numbers of a patient mean, also where the label map has no names."""

import numpy as np

from fluoroscope.patient.labels import LabelMap, totalsegmentator_names
from fluoroscope.patient.level_names import sacral_numbers, vertebra_numbers

__all__ = ["named_labels"]


def named_labels(labels: LabelMap) -> LabelMap:
    """Return the labels with names that planning understands.

    Labels with names keep them. Where no label has one, vertebrae and sacrum are those `patient.level_names` finds;
    when their numbers are TotalSegmentator's, so are the other structures'.
    """
    vertebrae = vertebra_numbers(labels)
    names = dict(labels.names)
    if all(name == f"label_{number}" for number, name in names.items()):
        table = totalsegmentator_names()
        if any(table.get(number) == f"vertebrae_{level}" for level, number in vertebrae.items()):
            names = {number: table.get(number, name) for number, name in names.items()}
    names |= {number: f"vertebrae_{level}" for level, number in vertebrae.items()}
    for number in sacral_numbers(labels):
        if names[number] not in ("sacrum", "vertebrae_S1"):
            names[number] = "sacrum"
    values = labels.values if labels.values.dtype == np.uint8 else labels.values.view()
    return LabelMap(values, names)
