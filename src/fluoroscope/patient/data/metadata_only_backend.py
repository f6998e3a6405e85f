"""A build backend that builds nothing.

pip asks a source archive's build backend for the name and version before it hands the archive over, which
would run the archive's ``setup.py``. Put first on the path as ``setuptools.build_meta``, this answers from
``PKG-INFO`` instead: no line of the archive is run.
"""

import pathlib


def get_requires_for_build_wheel(config_settings: object = None) -> list[str]:
    """Ask for nothing."""
    return []


def prepare_metadata_for_build_wheel(metadata_directory: str, config_settings: object = None) -> str:
    """Copy name and version out of ``PKG-INFO`` in the working folder."""
    lines = pathlib.Path("PKG-INFO").read_text(encoding="utf-8", errors="replace").splitlines()
    fields = dict(line.split(": ", 1) for line in lines[:40] if ": " in line)
    name, version = fields["Name"].strip(), fields["Version"].strip()
    folder = pathlib.Path(metadata_directory) / f"{name}-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    (folder / "WHEEL").write_text(
        "Wheel-Version: 1.0\nGenerator: none\nRoot-Is-Purelib: true\nTag: py3-none-any\n", encoding="utf-8"
    )
    return folder.name


class _Legacy:
    get_requires_for_build_wheel = staticmethod(get_requires_for_build_wheel)
    prepare_metadata_for_build_wheel = staticmethod(prepare_metadata_for_build_wheel)


__legacy__ = _Legacy()
