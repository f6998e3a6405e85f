"""Bake the tungsten tube spectra of ``fluoroscope.beam`` from SpekPy (needs the test dependencies).

Writes src/fluoroscope/beam/data/tungsten.npz: unfiltered spectra on the central axis at 1000 mm, without air.
"""

import json
from pathlib import Path

import numpy as np
import spekpy

MODEL = {"physics": "spekpy-v1", "mu_data_source": "nist", "targ": "W"}
BIN_KEV = 0.5
LOWEST_KEV = 5.0
TUBE_VOLTAGES_KV = np.arange(40, 151)
ANODES_DEG = np.array([8.0, 10.0, 11.0, 12.0, 14.0])
OUT = Path(__file__).parents[1] / "src" / "fluoroscope" / "beam" / "data" / "tungsten.npz"


def main() -> None:
    highest = float(TUBE_VOLTAGES_KV[-1])
    energies = np.arange(LOWEST_KEV + BIN_KEV / 2, highest, BIN_KEV)
    photons = np.zeros((ANODES_DEG.size, TUBE_VOLTAGES_KV.size, energies.size), dtype=np.float32)
    for a, anode in enumerate(ANODES_DEG):
        for v, kv in enumerate(TUBE_VOLTAGES_KV):
            spectrum = spekpy.Spek(kvp=float(kv), th=float(anode), dk=BIN_KEV, **MODEL)
            kev, fluence = spectrum.get_spectrum(diff=False)  # photons/cm² in each bin, for 1 mAs at 100 cm
            inside = kev > LOWEST_KEV
            photons[a, v, : inside.sum()] = fluence[inside] / 100.0
            if not np.allclose(kev[inside], energies[: inside.sum()]):
                raise SystemExit("SpekPy's bins are not where they were: adapt this script")
        print(f"anode {anode:g}°: done", flush=True)
    provenance = {
        "program": f"SpekPy {spekpy.__version__}",
        **MODEL,
        "script": "scripts/bake_spectra.py",
        "unit": "photons per mm² per mAs per bin at 1000 mm on the central axis, no filter, no air",
    }
    np.savez_compressed(
        OUT,
        photons=photons,
        energies_kev=energies,
        tube_voltages_kv=TUBE_VOLTAGES_KV.astype(np.float64),
        anodes_deg=ANODES_DEG,
        provenance=json.dumps(provenance),
    )
    print(f"{OUT.name}: {OUT.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
