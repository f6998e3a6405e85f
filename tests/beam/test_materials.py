"""Materials against published attenuation, and the file of materials against mistakes."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluoroscope.beam import (
    MATERIALS,
    Filtration,
    Material,
    MaterialsFileError,
    linear_attenuation_per_mm,
    load_materials,
    tube_spectrum,
)
from fluoroscope.beam.basis import basis_of

# Linear attenuation 1/cm at 40, 60, 80 keV, from NIST XCOM values and ICRU densities.
ANCHORS_PER_CM = {
    "water": (0.268, 0.206, 0.184),
    "adipose": (0.228, 0.188, 0.171),
    "muscle": (0.282, 0.215, 0.191),
    "cartilage": (0.311, 0.229, 0.202),
    "spine_bone": (0.706, 0.381, 0.292),
    "cortical_bone": (1.278, 0.604, 0.428),
    "steel_304": (28.2, 9.39, 4.65),
    "iohexol_300": (6.90, 2.48, 1.24),
}
# Mass attenuation cm²/g, NIST SRD 126 tables 3 and 4: (energy keV, value).
NIST_MASS = {
    "aluminium": ((30.0, 1.128), (60.0, 0.2778), (100.0, 0.1704)),
    "copper": ((30.0, 10.92), (60.0, 1.593), (100.0, 0.4584)),
    "air": ((30.0, 0.3538), (60.0, 0.1875), (100.0, 0.1541)),
    "soft_tissue": ((30.0, 0.3790), (60.0, 0.2048), (100.0, 0.1693)),
    "blood": ((30.0, 0.3874), (60.0, 0.2057), (100.0, 0.1695)),
    "csi": ((30.0, 9.045), (60.0, 7.921), (100.0, 2.035)),
}
WANTED = (
    "air lung adipose soft_tissue muscle blood cartilage spongiosa spine_bone cortical_bone water "
    "steel_304 titanium iodinated_blood iohexol_300 aluminium copper csi"
).split()


@pytest.mark.parametrize("name", ANCHORS_PER_CM)
def test_attenuation_is_the_published_one(name: str) -> None:
    per_cm = 10.0 * linear_attenuation_per_mm(MATERIALS[name], [40.0, 60.0, 80.0])
    assert per_cm == pytest.approx(ANCHORS_PER_CM[name], rel=0.01)


@pytest.mark.parametrize("name", NIST_MASS)
def test_mass_attenuation_is_that_of_nist(name: str) -> None:
    material = MATERIALS[name]
    for energy_kev, expected in NIST_MASS[name]:
        mass = 10.0 * float(linear_attenuation_per_mm(material, energy_kev)) / material.density_g_cm3
        assert mass == pytest.approx(expected, rel=0.01), energy_kev


def test_300_mm_of_water_at_60_kev() -> None:
    mu = float(linear_attenuation_per_mm(MATERIALS["water"], 60.0))
    assert np.exp(-300.0 * mu) == pytest.approx(2.077e-3, rel=0.01)
    assert np.log(2.0) / mu == pytest.approx(33.66, rel=0.01)


def test_the_library_is_whole_and_says_where_it_comes_from() -> None:
    assert set(WANTED) <= set(MATERIALS)
    for material in MATERIALS.values():
        assert material.source
        assert sum(material.mass_fractions.values()) == pytest.approx(1.0, abs=2e-3)


@pytest.mark.parametrize("energy", [4.9, 151.0, float("nan")])
def test_energies_out_of_range_are_refused(energy: float) -> None:
    with pytest.raises(ValueError, match="5 and 150 keV"):
        linear_attenuation_per_mm(MATERIALS["water"], energy)


def test_the_basis_of_the_basis_is_itself() -> None:
    assert basis_of(MATERIALS["water"]) == pytest.approx((1.0, 0.0), abs=1e-9)
    assert basis_of(MATERIALS["cortical_bone"]) == pytest.approx((0.0, 1.0), abs=1e-9)


@pytest.mark.parametrize("name", ["muscle", "soft_tissue", "blood", "cartilage", "spongiosa", "spine_bone"])
def test_tissues_are_within_half_a_percent_of_their_basis(name: str) -> None:
    energies = np.arange(40.0, 100.0)
    water, bone = basis_of(MATERIALS[name])
    fitted = water * linear_attenuation_per_mm(MATERIALS["water"], energies)
    fitted = fitted + bone * linear_attenuation_per_mm(MATERIALS["cortical_bone"], energies)
    assert fitted == pytest.approx(linear_attenuation_per_mm(MATERIALS[name], energies), rel=5e-3)


@given(
    water=st.floats(0.0, 3.0),
    bone=st.floats(0.0, 3.0),
    kv=st.sampled_from([50.0, 80.0, 110.0]),
)
def test_a_mixture_of_the_basis_is_found_again(water: float, bone: float, kv: float) -> None:
    if water + bone < 0.1:
        return
    w, b = MATERIALS["water"], MATERIALS["cortical_bone"]
    mass = {"water": water * w.density_g_cm3, "bone": bone * b.density_g_cm3}
    total = sum(mass.values())
    fractions: dict[str | int, float] = {}
    for name, material in (("water", w), ("bone", b)):
        for element, fraction in material.mass_fractions.items():
            fractions[element] = fractions.get(element, 0.0) + fraction * mass[name] / total
    mixture = Material("mixture", total, fractions, "here")
    # Cortical bone's fractions add up to 1.000, water's to 1.000: mixing keeps the coefficients.
    assert basis_of(mixture, tube_spectrum(kv, Filtration())) == pytest.approx((water, bone), abs=2e-6)


@pytest.mark.parametrize("name", list(MATERIALS))
def test_no_basis_coefficient_is_negative(name: str) -> None:
    assert min(basis_of(MATERIALS[name])) >= 0.0


def test_a_users_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        '[cement]\ndensity_g_cm3 = 1.4\nsource = "me"\nmass_fractions = { C = 0.5, 8 = 0.3, Ba = 0.2 }\n',
        encoding="utf-8",
    )
    cement = load_materials(path)["cement"]
    assert cement.mass_fractions == {"C": 0.5, 8: 0.3, "Ba": 0.2}
    assert cement.at_density(1.2).density_g_cm3 == 1.2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[a\n", "not a TOML"),
        ("", "holds no materials"),
        ("x = 1\n", "'x'"),
        ('[a]\nsource = "s"\nmass_fractions = { H = 1.0 }\n', "density_g_cm3"),
        ('[a]\ndensity_g_cm3 = 0\nsource = "s"\nmass_fractions = { H = 1.0 }\n', "above 0"),
        ('[a]\ndensity_g_cm3 = 1\nsource = "s"\nmass_fractions = { H = 0.5 }\n', "add up to"),
        ('[a]\ndensity_g_cm3 = 1\nsource = "s"\nmass_fractions = { Xx = 1.0 }\n', "not a chemical element"),
        ('[a]\ndensity_g_cm3 = 1\nsource = "s"\nmass_fractions = { 120 = 1.0 }\n', "atomic number 120"),
        ('[a]\ndensity_g_cm3 = 1\nsource = "s"\nmass_fractions = { H = -0.1, O = 1.1 }\n', "not negative"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(MaterialsFileError, match=says) as caught:
        load_materials(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
