"""Run by the interpreter of a foreign environment that has PySkinDose: what its parser reads of reports.

``python pyskindose_totals.py REPORT …`` prints one JSON object: number of events and their kerma (Gy) and KAP (Gy·m²)
by path.
"""

import json
import sys
import warnings

warnings.simplefilter("ignore")


def main():
    import pydicom
    from pyskindose import rdsr_parser

    told = {}
    for path in sys.argv[1:]:
        table = rdsr_parser(pydicom.dcmread(path))
        kerma = [name for name in table.columns if name.startswith("DoseRP")]
        kap = [name for name in table.columns if name.startswith("DoseAreaProduct")]
        told[path] = {
            "events": len(table),
            "event_kerma": float(table[kerma].astype(float).sum().sum()),
            "event_kap": float(table[kap].astype(float).sum().sum()),
        }
    print("told " + json.dumps(told))


if __name__ == "__main__":
    main()
