"""Run by the interpreter of a foreign environment that has OpenREM: import reports, print what it keeps of each.

``python openrem_session.py FOLDER REPORT …`` with an SQLite data base in memory, settings in FOLDER. Prints one JSON:
totals and sums of events by Study Instance UID, KAP in Gy·m², kerma in Gy, time in s, as OpenREM stores them.
"""

import json
import os
import sys
from pathlib import Path


def main():
    folder, reports = Path(sys.argv[1]), sys.argv[2:]
    (folder / "openrem_settings.py").write_text(
        "from openremproject.settings import *\n"
        f"DATABASES = {{'default': {{'ENGINE': 'django.db.backends.sqlite3', 'NAME': ':memory:'}}}}\n"
        "SECRET_KEY = 'only for this run'\n"
        f"MEDIA_ROOT = STATIC_ROOT = {str(folder)!r}\n"
        "LOGGING_CONFIG = None\n"
        "MIGRATION_MODULES = {'remapp': None}\n"  # its tables as its models are: it ships no first migration
    )
    import importlib.util

    package = Path(importlib.util.find_spec("openrem").submodule_search_locations[0])
    sys.path[:0] = [str(folder), str(package)]
    os.environ["DJANGO_SETTINGS_MODULE"] = "openrem_settings"
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0, interactive=False, run_syncdb=True)
    from remapp.extractors import rdsr
    from remapp.models import GeneralStudyModuleAttr, PatientIDSettings

    PatientIDSettings.objects.get_or_create()

    for report in reports:
        if rdsr.rdsr(report):
            raise SystemExit(f"{report}: not imported")
    # Only what is asked for: SQLite gives a time of day back that Django then cannot read.
    uids = GeneralStudyModuleAttr.objects.values_list("pk", "study_instance_uid")
    print("told " + json.dumps({uid: study(key) for key, uid in uids}))


def study(key):
    from remapp import models

    whole = "projection_xray_radiation_dose__general_study_module_attributes_id"
    projection = "accumulated_xray_dose__" + whole
    events = models.IrradEventXRayData.objects.filter(**{whole: key})
    sources = models.IrradEventXRaySourceData.objects.filter(**{"irradiation_event_xray_data__" + whole: key})
    integrated = models.AccumIntegratedProjRadiogDose.objects.filter(**{projection: key})
    projected = models.AccumProjXRayDose.objects.filter(**{projection: key})
    return {
        "kap": total(integrated, "dose_area_product_total"),
        "kerma": total(integrated, "dose_rp_total"),
        "fluoro_time": total(projected, "total_fluoro_time"),
        "events": events.count(),
        "event_kap": total(events, "dose_area_product"),
        "event_kerma": total(sources, "dose_rp"),
    }


def total(rows, name):
    values = [value for value in rows.values_list(name, flat=True) if value is not None]
    return float(sum(values)) if values else None


if __name__ == "__main__":
    main()
