"""CT numbers become water and bone, continuously, and the beam sees the right tissue."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluoroscope.beam.materials import MATERIALS, linear_attenuation_per_mm
from fluoroscope.beam.spectrum import tube_spectrum
from fluoroscope.beam.technique import Filtration
from fluoroscope.patient.labels import LabelMap
from fluoroscope.patient.stored import PatientFileError
from fluoroscope.patient.tissues import load_tissues, packaged_tissues, to_basis
from fluoroscope.patient.volume import Volume

TABLE = packaged_tissues()


def volume(hu):
    return Volume(np.asarray(hu, np.int16).reshape(1, 1, -1), np.eye(4))


def transmitted(energies, weights, mu_mm):
    """Energy-weighted signal behind slabs given as a list of (μ, mm)."""
    attenuation = sum(mu * length for mu, length in mu_mm)
    return float((weights * energies * np.exp(-attenuation)).sum())


@pytest.mark.parametrize("voltage_kv", [60.0, 80.0, 110.0])
@pytest.mark.parametrize(
    ("tissue", "length_mm", "tolerance"),
    [
        ("soft tissue", 50.0, 0.005),
        ("spongy bone", 30.0, 0.01),
        ("vertebral bone", 30.0, 0.02),
        ("cortical bone", 10.0, 0.001),
        ("adipose", 50.0, 0.03),
        ("lung", 150.0, 0.01),
    ],
)
def test_transmission_behind_20_cm_of_water_against_the_exact_material(voltage_kv, tissue, length_mm, tolerance):
    spectrum = tube_spectrum(voltage_kv, Filtration())
    energies = spectrum.energies_kev
    weights = spectrum.photons_per_mm2_mas
    water = linear_attenuation_per_mm(MATERIALS["water"], energies)
    bone = linear_attenuation_per_mm(MATERIALS["cortical_bone"], energies)
    node = next(n for n in TABLE.curves[0].nodes if n.name == tissue)
    material = MATERIALS[node.material].at_density(node.density_g_cm3)
    exact = transmitted(energies, weights, [(water, 200.0), (linear_attenuation_per_mm(material, energies), length_mm)])
    basis = to_basis(volume([round(node.hu)]))
    modelled_mu = 0.001 * (int(basis.water[0, 0, 0]) * water + int(basis.bone[0, 0, 0]) * bone)
    modelled = transmitted(energies, weights, [(water, 200.0), (modelled_mu, length_mm)])
    assert modelled / exact == pytest.approx(1.0, abs=tolerance)


def test_water_is_water_and_air_is_nothing():
    basis = to_basis(volume([0, -1000, -2048, -32768]))
    assert basis.water.ravel().tolist() == [1000, 0, 0, 0]
    assert basis.bone.ravel().tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("curve", TABLE.curves, ids=lambda curve: curve.name)
def test_no_steps(curve):
    """One HU more changes the attenuation behind the patient by no more than steep straight lines do."""
    hu = np.arange(-1100, 3100)
    water, bone = curve.basis(hu).T
    attenuation = 0.0206 * water + 0.0604 * bone  # 60 keV, per mm
    step = np.diff(attenuation)
    assert step.min() > -1e-9
    below_metal = hu[1:] < 2000
    assert step[below_metal].max() < 4e-5


@given(st.integers(-1000, 1504))
def test_the_ct_number_comes_back_at_the_energy_of_the_scanner(hu):
    share = TABLE.curves[0].basis(hu)
    mu = [float(linear_attenuation_per_mm(MATERIALS[m], [TABLE.ct_energy_kev])[0]) for m in ("water", "cortical_bone")]
    back = 1000.0 * ((share[0] * mu[0] + share[1] * mu[1]) / mu[0] - 1.0)
    # Fat has less than no bone in it: its share is cut at zero, which costs it up to 45 HU here.
    assert back == pytest.approx(hu, abs=45.0 if -741 < hu < 0 else 4.0)


def test_contrast_in_a_labelled_vessel_is_not_bone():
    hu = volume([300, 300])
    labels = LabelMap(np.array([[[1, 2]]], np.uint8), {1: "aorta", 2: "vertebrae_L3"})
    basis = to_basis(hu, labels=labels)
    plain = to_basis(hu)
    assert basis.bone[0, 0, 1] == plain.bone[0, 0, 1]
    assert basis.water[0, 0, 0] != plain.water[0, 0, 0]
    nodes = {n.name: n for n in TABLE.curves[1].nodes}
    assert nodes["blood"].hu < 300 < nodes["iodinated blood"].hu


def test_a_table_of_the_user_replaces_the_packaged_one(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        """
ct_energy_kev = 70.0
[curves.tissue]
nodes = [
  { name = "nothing", material = "air", hu = -1000, basis = [0.0, 0.0] },
  { name = "plastic", material = "water", hu = 0, basis = [0.9, 0.05] },
]
""",
        encoding="utf-8",
    )
    basis = to_basis(volume([-500, 0, 4000]), table=load_tissues(path))
    assert basis.water.ravel().tolist() == [450, 900, 900]
    assert basis.bone.ravel().tolist() == [25, 50, 50]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ct_energy_kev = 70",
        "ct_energy_kev = 70\n[curves.t]\nnodes = [{ name = 'a', material = 'moon' },"
        " { name = 'b', material = 'water' }]",
        "ct_energy_kev = 70\n[curves.t]\nnodes = [{ name = 'a', material = 'water' },"
        " { name = 'b', material = 'air' }]",
        "ct_energy_kev = 70\n[curves.t]\nnodes = [{ name = 'a', material = 'water', basis = [-1, 0] },"
        " { name = 'b', material = 'cortical_bone' }]",
        "not toml at all [",
    ],
)
def test_a_wrong_table_is_refused_in_one_line(tmp_path, text):
    (tmp_path / "t.toml").write_text(text, encoding="utf-8")
    with pytest.raises(PatientFileError, match="not a tissue table") as caught:
        load_tissues(tmp_path / "t.toml")
    assert "\n" not in str(caught.value)


def test_only_int16_is_hu():
    with pytest.raises(ValueError, match="int16"):
        to_basis(Volume(np.zeros((2, 2, 2), np.float32), np.eye(4)))
