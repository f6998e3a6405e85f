"""Runs in an interpreter that has PySkinDose, and not this program: its geometry, factors and doses of one report.

``python pyskindose_session.py REPORT OUT.npz MODEL`` with MODEL plane, cylinder or human. PySkinDose's own functions do
all of it, event by event, so that the dose of each event is known; lengths cm as it has them.
"""

import sys
import time
import warnings
from typing import Any

import numpy as np

__all__ = ["main"]


def main(report: str, out: str, model: str) -> None:
    """Write what PySkinDose makes of ``report`` to ``out``."""
    warnings.simplefilter("ignore")
    from pyskindose import constants as c  # type: ignore[import-not-found,unused-ignore]
    from pyskindose import load_settings_example_json
    from pyskindose.calculate_dose.calculate_dose import calculate_dose  # type: ignore[import-not-found,unused-ignore]
    from pyskindose.helpers.calculate_rotation_matrices import (  # type: ignore[import-not-found,unused-ignore]
        calculate_rotation_matrices,
    )
    from pyskindose.helpers.parse_settings_to_settings_class import (  # type: ignore[import-not-found,unused-ignore]
        parse_settings_to_settings_class,
    )
    from pyskindose.helpers.read_and_normalize_rdsr_data import (  # type: ignore[import-not-found,unused-ignore]
        read_and_normalise_rdsr_data,
    )
    from pyskindose.phantom_class import Phantom  # type: ignore[import-not-found,unused-ignore]

    chosen = load_settings_example_json()
    chosen["mode"] = c.MODE_CALCULATE_DOSE
    chosen["estimate_k_tab"] = False
    chosen["plot"]["notebook_mode"] = False
    chosen["phantom"]["model"] = model
    if model == "cylinder":
        chosen["phantom"]["dimension"]["cylinder_resolution"] = "dense"
    if model == "plane":
        chosen["phantom"]["dimension"]["plane_resolution"] = "dense"
    settings = parse_settings_to_settings_class(settings=chosen)
    began = time.perf_counter()
    data = read_and_normalise_rdsr_data(rdsr_filepath=report, settings=settings)
    data = calculate_rotation_matrices(data)
    table = Phantom(phantom_model=c.PHANTOM_MODEL_TABLE, phantom_dim=settings.phantom.dimension)
    pad = Phantom(phantom_model=c.PHANTOM_MODEL_PAD, phantom_dim=settings.phantom.dimension)
    read_s = time.perf_counter() - began
    began = time.perf_counter()
    patient, output = calculate_dose(normalized_data=data, settings=settings, table=table, pad=pad)
    dose_s = time.perf_counter() - began
    told = _events(data, patient, table, output, c)
    np.savez_compressed(
        out,
        read_s=read_s,
        dose_s=dose_s,
        dose_mgy=output[c.OUTPUT_KEY_DOSE_MAP],
        plane=model == "plane",
        **told,
    )


def _events(data: Any, patient: Any, table: Any, output: Any, c: Any) -> dict[str, Any]:
    """Place beam, cells and table of every event once more, and keep the factors PySkinDose took for them."""
    from pyskindose import Beam  # type: ignore[import-not-found,unused-ignore]

    kept: dict[str, list[Any]] = {name: [] for name in ("beam", "cells", "normals", "table", "k_tab", "k_med")}
    for event in range(len(data)):
        patient.position(data_norm=data, event=event)
        table.position(data_norm=data, event=event)
        kept["beam"].append(Beam(data_norm=data, event=event).r)
        kept["cells"].append(patient.r.copy())
        kept["normals"].append(getattr(patient, "n", np.zeros_like(patient.r)).copy())
        kept["table"].append(table.r[4:8].copy())
        some = bool(np.any(output[c.OUTPUT_KEY_HITS][event]))
        kept["k_tab"].append(output[c.OUTPUT_KEY_CORRECTION_TABLE][event] if some else 1.0)
        kept["k_med"].append(output[c.OUTPUT_KEY_CORRECTION_MEDIUM][event] if some else 1.0)
    hits = [np.asarray(one, dtype=bool) for one in output[c.OUTPUT_KEY_HITS]]
    columns = {"kv": "kVp", "hvl": "HVL", "kerma": "K_IRP", "detector": "DSD", "across": "FS_long", "along": "FS_lat"}
    rest = {name: np.asarray(data[column], dtype=float) for name, column in columns.items()}
    return (
        {name: np.array(values) for name, values in kept.items()}
        | rest
        | {
            "hits": np.array(hits),
            "reference": np.full(len(data), float(data[c.DATA_DS_IRP][0])),
        }
    )


if __name__ == "__main__":
    main(*sys.argv[1:4])
