"""What is remembered: patients, exams, dose objects and events, exposures told by the patient, in one database.

An SQLite file unless a URL names a PostgreSQL server. Nothing is overwritten silently: every correction leaves the old
value, the new one, who, when and why.
"""

from fluoroscope.registry.opening import Registry, RegistryError, check_where, standing

__all__ = ["Registry", "RegistryError", "check_where", "standing"]
