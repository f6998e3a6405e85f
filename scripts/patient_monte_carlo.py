# ruff: noqa: NPY002, PLR0915 - compiled code has its own generator, and the loop is one
"""Photon Monte Carlo through the stylised adult of ORNL/TM-8381: organ doses and scatter per kerma-area product.

    python scripts/patient_monte_carlo.py --what all --photons 3000000 --out runs.npz
    python scripts/patient_monte_carlo.py --bake runs.npz src/fluoroscope/dose/data/patient_monte_carlo.npz

Gives the figures marked M of docs/explanations/patient-and-staff-dose.md. Photoelectric, Compton (Klein-Nishina with
incoherent scattering functions) and coherent scatter by xraylib's tables; delta tracking in 4 mm voxels; kerma by the
collision estimator with every tentative collision. Each photon carries the number of its first energy's bin, so that
one run serves every spectrum. The arms are not there: they lie above the head; the trunk, 40 cm wide with them, is
34 cm wide for the scatter that leaves it. Lengths cm, energies keV.
"""

import argparse
import math
import sys
import time

import numba
import numpy as np
import xraylib

from fluoroscope.beam.materials import MATERIALS
from fluoroscope.beam.spectrum import tube_spectrum
from fluoroscope.beam.technique import Filtration

VOXEL_CM = 0.4
LOW = np.array([-22.0, -14.0, -30.0])
HIGH = np.array([22.0, 11.0, 96.0])
SHAPE = tuple(int(n) for n in np.round((HIGH - LOW) / VOXEL_CM))
ENERGIES = np.arange(151)
BINS_KEV = np.arange(15.0, 126.0, 5.0)
AIR, SOFT, LUNG, BONE = 0, 1, 2, 3
DENSITY = (0.0, 1.04, 0.296, 1.40)
ORGANS = (
    "other soft tissue", "skull", "cervical spine", "thoracic spine", "lumbar spine", "sacrum and pelvis", "ribs",
    "scapulae", "upper legs", "lungs", "breast", "stomach", "colon", "small intestine", "liver", "kidneys",
    "spleen", "bladder", "uterus", "ovaries", "testes", "oesophagus", "thyroid", "brain",
)  # fmt: skip
NUMBER = {name: index + 1 for index, name in enumerate(ORGANS)}
MARROW = {"skull": 0.084, "cervical spine": 0.039, "thoracic spine": 0.161, "lumbar spine": 0.123,
          "sacrum and pelvis": 0.274, "ribs": 0.20, "scapulae": 0.028, "upper legs": 0.067}  # fmt: skip
"""Share of the red marrow of an adult (Cristy 1981; ICRP Publication 70); sternum and clavicles with the ribs."""
WEIGHTS = {"red marrow": 0.12, "colon": 0.12, "lungs": 0.12, "stomach": 0.12, "breast": 0.12, "gonads": 0.08,
           "bladder": 0.04, "oesophagus": 0.04, "liver": 0.04, "thyroid": 0.04, "brain": 0.01, "bone": 0.01,
           "remainder": 0.12}  # fmt: skip
"""ICRP Publication 103; skin and salivary glands (0.02 together) are left out, the sum is scaled by 1 / 0.98."""


HALF_TRUNK_CM, HALF_WITHOUT_ARMS_CM = 20.0, 17.0
"""Half the trunk's width with the arms in it (ORNL/TM-8381), and without (CTs of adults at L3: 15 to 17)."""


def phantom(half_trunk=HALF_TRUNK_CM):
    """Return organ numbers (0 outside) and materials of every voxel."""
    axes = [LOW[i] + VOXEL_CM * (np.arange(SHAPE[i]) + 0.5) for i in range(3)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    organ = np.zeros(SHAPE, dtype=np.uint8)

    def put(name, where):
        organ[where] = NUMBER[name]

    def ball(cx, cy, cz, a, b, c):
        return ((x - cx) / a) ** 2 + ((y - cy) / b) ** 2 + ((z - cz) / c) ** 2 <= 1.0

    trunk = ((x / half_trunk) ** 2 + (y / 10) ** 2 <= 1) & (z >= 0) & (z <= 70)
    neck = ((x / 6) ** 2 + (y / 6) ** 2 <= 1) & (z > 70) & (z <= 78)
    head = ((x / 8) ** 2 + (y / 10) ** 2 <= 1) & (z > 78) & (z <= 94)
    legs = (z < 0) & (x**2 + y**2 <= np.abs(x) * (20 + z / 5)) & (z > -30)
    put("other soft tissue", trunk | neck | head | legs)
    for side in (-1, 1):
        put("breast", ball(side * 10, -8.66, 52, 4.95, 4.35, 4.15) & ~trunk)
        put("testes", ball(side * 1.3, -8, -2.3, 1.3, 1.5, 2.3))
    shell = (x / 17) ** 2 + (y / 9.8) ** 2 <= 1
    put(
        "ribs", shell & ((x / 16.5) ** 2 + (y / 9.3) ** 2 >= 1) & (z > 35.1) & (z < 67.3) & ((z - 35.1) // 1.4 % 2 == 0)
    )
    slope = np.abs(y) / np.maximum(np.abs(x), 1e-6)
    scapula = ~shell & ((x / 19) ** 2 + (y / 9.8) ** 2 <= 1) & (y > 0) & (slope > 0.25) & (slope < 0.8)
    put("scapulae", scapula & (z > 50.9) & (z < 67.3))
    for side in (-1, 1):
        put("upper legs", ((x - side * 10) ** 2 + y**2 <= (3.5 + z / 20) ** 2) & (z < 0) & (z > -30))
        lung = ball(side * 8.5, 0, 43.5, 5, 7.5, 24) & (z >= 43.5)
        notch = (z < 55) & (y < 1.5) & (side * x < (5.4 if side < 0 else 8.0))
        put("lungs", lung & ~notch)
        put("kidneys", ball(side * 6, 6, 32.5, 4.5, 1.5, 5.5) & (side * x >= 3))
    put("liver", ((x / 16.5) ** 2 + (y / 8) ** 2 <= 1) & (x / 35 + y / 45 - z / 43 <= -1) & (z >= 27) & (z <= 43))
    put("spleen", ball(11, 3, 37, 3.5, 2, 6))
    put("stomach", ball(8, -4, 35, 4, 3, 8))
    bowel = ((x / 11.3) ** 2 + ((y + 3.8) / 11.3) ** 2 <= 1) & (y > -4.86) & (y < 2.2) & (z > 17) & (z < 27)
    put("small intestine", bowel)
    put("colon", (((x + 8.5) / 2.5) ** 2 + ((y + 2.36) / 2.5) ** 2 <= 1) & (z > 14.45) & (z <= 24))
    put("colon", (((y + 2.36) / 2.5) ** 2 + ((z - 25.5) / 1.5) ** 2 <= 1) & (np.abs(x) <= 10.5))
    put("colon", (((x - 9.25) / 1.88) ** 2 + ((y + 1.2) / 2.13) ** 2 <= 1) & (z > 8.72) & (z <= 24))
    ring = (np.hypot(x - 3, z - 8.72) - 5.72) ** 2 + y**2 <= 1.57**2
    put("colon", ring & (x >= 3) & (z <= 8.72))
    put("colon", ((np.hypot(x - 3, z) - 3) ** 2 + y**2 <= 1.57**2) & (x <= 3) & (z >= 0))
    put("bladder", ball(0, -4.5, 8, 4.958, 3.458, 3.458))
    put("uterus", ball(0, -2, 14, 2.62, 5.22, 1.57) & (y >= -4.62))
    for side in (-1, 1):
        put("ovaries", ball(side * 6, 0, 15, 1, 0.5, 2))
        put("thyroid", ball(side * 1.2, -4, 73, 1.0, 1.0, 2.5))
    put("oesophagus", ((x / 1.17) ** 2 + ((y - 2.575) / 0.7) ** 2 <= 1) & (z > 43) & (z < 70))
    column = (x / 2) ** 2 + ((y - 5.5) / 2.5) ** 2 <= 1
    put("lumbar spine", column & (z >= 22) & (z < 35.1))
    put("thoracic spine", column & (z >= 35.1) & (z < 68))
    put("cervical spine", ((x / 2) ** 2 + ((y - 2.0) / 2.0) ** 2 <= 1) & (z >= 68) & (z < 80))
    ilia = (x**2 + (y + 3) ** 2 <= 144) & (x**2 + (y + 3.8) ** 2 >= 121) & (y >= -3) & (z >= 0) & (z < 22)
    put("sacrum and pelvis", ilia & ~((z <= 14) & (y > 5)))
    put("skull", head & ((x / 7) ** 2 + (y / 9) ** 2 + ((z - 85) / 8.2) ** 2 >= 1) & (z > 80))
    put("brain", ball(0, 0, 86, 6.2, 8.2, 6.8) & head)
    material = np.where(organ == 0, AIR, SOFT).astype(np.uint8)
    material[organ == NUMBER["lungs"]] = LUNG
    for name in MARROW:
        material[organ == NUMBER[name]] = BONE
    return organ, material


def tables():
    """Return μ and shares per keV of each material, and what the angles are sampled from."""
    mixes = [None, MATERIALS["soft_tissue"], MATERIALS["lung"], MATERIALS["spine_bone"]]
    mu = np.zeros((4, 151))
    shares = np.zeros((4, 151, 2))
    muen = np.zeros((4, 151))
    steps = np.linspace(0.0, 12.5, 1251)  # 1/Å
    form, incoherent = np.zeros((4, 1251)), np.zeros((4, 1251))
    fraction = np.array([transferred(e) for e in range(151)])
    for m in range(1, 4):
        parts = {xraylib.SymbolToAtomicNumber(s): w for s, w in mixes[m].mass_fractions.items()}
        for z, w in parts.items():
            mass = xraylib.AtomicWeight(z)
            form[m] += [w / mass * xraylib.FF_Rayl(z, q) ** 2 for q in steps]
            incoherent[m] += [w / mass * (xraylib.SF_Compt(z, q) if q > 0 else 0.0) for q in steps]
            for e in range(5, 151):
                photo, compton, rayleigh = (
                    f(z, float(e)) for f in (xraylib.CS_Photo, xraylib.CS_Compt, xraylib.CS_Rayl)
                )
                mu[m, e] += w * (photo + compton + rayleigh)
                shares[m, e] += w * np.array([photo, photo + compton])
                muen[m, e] += w * (photo + compton * fraction[e])
        shares[m, 5:] /= mu[m, 5:, None]
        mu[m] *= DENSITY[m]
        incoherent[m] /= incoherent[m].max()
        area = np.concatenate([[0.0], np.cumsum(0.5 * (form[m, 1:] + form[m, :-1]) * np.diff(steps**2))])
        form[m] = area
    return mu, shares, muen, form, incoherent, steps


def transferred(kev):
    """Mean share of the energy a Compton electron gets (Klein-Nishina)."""
    if kev < 1:
        return 0.0
    a, cosine = kev / 511.0, np.linspace(-1, 1, 2001)
    p = 1 / (1 + a * (1 - cosine))
    weight = p**2 * (p + 1 / p - 1 + cosine**2)
    return float(((1 - p) * weight).sum() / weight.sum())


def ambient_psv_cm2():
    """H*(10) per fluence, pSv·cm² (ICRP Publication 74), per keV."""
    kev = [10, 15, 20, 30, 40, 50, 60, 80, 100, 150]
    value = [0.061, 0.83, 1.05, 0.81, 0.64, 0.55, 0.51, 0.53, 0.61, 0.89]
    result = np.exp(np.interp(np.log(np.maximum(np.arange(151), 1)), np.log(kev), np.log(value)))
    result[:10] = 0.0
    return result


@numba.njit
def turn(u, v, w, cosine, phi):
    sine = math.sqrt(max(0.0, 1 - cosine * cosine))
    c, s = math.cos(phi), math.sin(phi)
    if abs(w) > 0.9999:
        sign = 1.0 if w > 0 else -1.0
        return sine * c, sine * s, sign * cosine
    t = math.sqrt(1 - w * w)
    return (
        u * cosine + sine * (u * w * c - v * s) / t,
        v * cosine + sine * (v * w * c + u * s) / t,
        w * cosine - sine * c * t,
    )


@numba.njit
def run(photons, seed, organ, material, mu, shares, muen, form, incoherent, step, majorant, source, axes, half, ref,
        origin, ambient, low, voxel, bins, scores, squares, sphere):  # fmt: skip
    """Send photons from a point through a rectangle ``half`` at distance ``ref``; add keV·cm²/g in every organ."""
    np.random.seed(seed)
    nx, ny, nz = organ.shape
    polar, around = sphere.shape[1], sphere.shape[2]
    for _ in range(photons):
        b = int(np.random.random() * (len(bins) - 1))
        energy = bins[b] + (bins[b + 1] - bins[b]) * np.random.random()
        a1, a2 = (2 * np.random.random() - 1) * half[0], (2 * np.random.random() - 1) * half[1]
        dx = ref * axes[0, 0] + a1 * axes[1, 0] + a2 * axes[2, 0]
        dy = ref * axes[0, 1] + a1 * axes[1, 1] + a2 * axes[2, 1]
        dz = ref * axes[0, 2] + a1 * axes[1, 2] + a2 * axes[2, 2]
        length = math.sqrt(dx * dx + dy * dy + dz * dz)
        u, v, w = dx / length, dy / length, dz / length
        px, py, pz = source[0], source[1], source[2]
        # Into the box first.
        enter = 0.0
        leave = 1e9
        for p, d, lo, n in ((px, u, low[0], nx), (py, v, low[1], ny), (pz, w, low[2], nz)):
            if abs(d) > 1e-12:
                t1, t2 = (lo - p) / d, (lo + n * voxel - p) / d
                enter, leave = max(enter, min(t1, t2)), min(leave, max(t1, t2))
        scattered = False
        if enter < leave:
            px, py, pz = px + u * (enter + 1e-6), py + v * (enter + 1e-6), pz + w * (enter + 1e-6)
            alive = True
        else:
            alive = False
        while alive:
            ke = int(energy + 0.5)
            s = -math.log(1 - np.random.random()) / majorant[ke]
            px, py, pz = px + u * s, py + v * s, pz + w * s
            i, j, k = int((px - low[0]) / voxel), int((py - low[1]) / voxel), int((pz - low[2]) / voxel)
            if px < low[0] or py < low[1] or pz < low[2] or i >= nx or j >= ny or k >= nz:
                break
            m = material[i, j, k]
            if m == 0:
                continue
            o = organ[i, j, k]
            kerma = energy * muen[1, ke] / majorant[ke]
            scores[o, b] += kerma
            squares[o, b] += kerma * kerma
            if np.random.random() * majorant[ke] > mu[m, ke]:
                continue
            kind = np.random.random()
            if kind < shares[m, ke, 0]:
                alive = False
            elif kind < shares[m, ke, 1]:
                a = energy / 511.0
                while True:
                    cosine = 2 * np.random.random() - 1
                    p = 1 / (1 + a * (1 - cosine))
                    q = energy / 12.398 * math.sqrt(max(0.0, (1 - cosine) / 2))
                    chance = p * p * (p + 1 / p - 1 + cosine * cosine) / 2 * incoherent[m, min(int(q / step), 1250)]
                    if np.random.random() < chance:
                        break
                energy *= p
                u, v, w = turn(u, v, w, cosine, 2 * math.pi * np.random.random())
                scattered = True
            else:
                q_max = energy / 12.398
                top = form[m, min(int(q_max / step), 1250)]
                while True:
                    at = np.searchsorted(form[m], np.random.random() * top)
                    q = min(at * step, q_max)
                    cosine = 1 - 2 * (q / q_max) ** 2
                    if np.random.random() < (1 + cosine * cosine) / 2:
                        break
                u, v, w = turn(u, v, w, cosine, 2 * math.pi * np.random.random())
                scattered = True
            if energy < 6.0:
                alive = False
        else:
            continue
        if not scattered:
            continue
        # Out of the box: to the sphere of 1 m about the origin.
        rx, ry, rz = px - origin[0], py - origin[1], pz - origin[2]
        along = rx * u + ry * v + rz * w
        inside = along * along - (rx * rx + ry * ry + rz * rz) + 1e4
        if inside <= 0:
            continue
        t = -along + math.sqrt(inside)
        sx, sy, sz = (rx + t * u) / 100, (ry + t * v) / 100, (rz + t * w) / 100
        slant = max(0.1, abs(sx * u + sy * v + sz * w))
        row = min(polar - 1, int((sz + 1) / 2 * polar))
        col = int((math.atan2(sy, sx) / (2 * math.pi) + 1) * around) % around
        sphere[b, row, col] += ambient[int(energy + 0.5)] / slant


POLAR, AROUND = 9, 24


class Run:
    """One beam's tallies per bin of first energy."""

    def __init__(self, model, angle_deg, target, photons, seed=1, iso=60.0, half=6.0, depth=5.0):
        organ, material, tabled = model
        mu, shares, muen, form, incoherent, steps = tabled
        p = math.radians(angle_deg)
        d = np.array([math.sin(p), -math.cos(p), 0.0])
        u = np.array([math.cos(p), math.sin(p), 0.0])
        target = np.array(target, dtype=float)
        source = target - iso * d
        skin = entry(source, d, organ)
        origin = source + (skin + depth) * d
        self.skin_cm, self.iso, self.half = skin, iso, half
        self.counts = photons / (len(BINS_KEV) - 1)
        self.scores = np.zeros((len(ORGANS) + 1, len(BINS_KEV) - 1))
        self.squares = np.zeros_like(self.scores)
        self.sphere = np.zeros((len(BINS_KEV) - 1, POLAR, AROUND))
        axes = np.array([d, u, np.array([0, 0, 1.0])])
        run(photons, seed, organ, material, mu, shares, muen, form, incoherent, steps[1], mu.max(axis=0) + 1e-12,
            source, axes, np.array([half, half]), iso, origin, ambient_psv_cm2(), LOW, VOXEL_CM, BINS_KEV,
            self.scores, self.squares, self.sphere)  # fmt: skip


def entry(source, d, organ):
    for step in np.arange(0.0, 120.0, 0.1):
        i, j, k = ((source + step * d - LOW) / VOXEL_CM).astype(int)
        if 0 <= i < SHAPE[0] and 0 <= j < SHAPE[1] and 0 <= k < SHAPE[2] and organ[i, j, k]:
            return step
    raise ValueError("the beam misses the phantom")


def folded(kv, aluminium, copper):
    """Photons per bin for 1 Gy·cm² and the kerma of one photon per cm², of a spectrum."""
    spectrum = tube_spectrum(kv, Filtration(aluminium, copper))
    per_cm2 = spectrum.photons_per_mm2_mas * 100.0
    counts, _ = np.histogram(spectrum.energies_kev, BINS_KEV, weights=per_cm2)
    gy = spectrum.air_kerma_ugy_per_mas() * 1e-6
    # Below 15 keV nothing comes deeper than skin.
    return counts / gy  # photons through the field per Gy·cm²


def organ_doses(one, volumes, beam):
    """mGy per Gy·cm² of each organ, and of red marrow, gonads, effective dose."""
    photons = folded(*beam)
    gray = 1.602176634e-13  # keV/g
    dose = {}
    for name, number in NUMBER.items():
        if volumes[name] == 0:
            continue
        mass_free = one.scores[number] / one.counts @ photons  # keV·cm³/(g·Gy·cm²) over the volume
        dose[name] = float(mass_free / volumes[name] * gray * 1e3)
    dose["red marrow"] = sum(share * dose[name] for name, share in MARROW.items()) / sum(MARROW.values())
    dose["gonads"] = (dose["ovaries"] + dose["testes"]) / 2
    rest = [dose[n] for n in ("kidneys", "spleen", "small intestine", "uterus", "other soft tissue")]
    dose["remainder"], dose["bone"] = sum(rest) / len(rest), dose["red marrow"]
    dose["effective"] = sum(w * dose[name] for name, w in WEIGHTS.items()) / 0.98
    return dose


def scatter(one, beam):
    """µSv at 1 m per Gy·cm² in each bin of direction (polar by equal steps of cos from the feet, azimuth)."""
    photons = folded(*beam)
    area = 4 * math.pi * 1e4 / (POLAR * AROUND)
    return np.tensordot(photons / one.counts, one.sphere, axes=(0, 0)) / area * 1e-6


KEPT = ("effective", "red marrow", "colon", "lungs", "stomach", "breast", "bladder", "liver", "kidneys", "thyroid",
        "ovaries", "testes", "uterus")  # fmt: skip
VOLTAGES_KV, COPPERS_MM, ALUMINIUM_MM = (60.0, 70.0, 80.0, 100.0, 120.0), (0.0, 0.1, 0.3, 0.6, 0.9), 3.1
OCTANTS = range(-135, 181, 45)
DIRECTIONS_DEG = (0, 45, 90, 135, 180, -135, -90, -45)


def bake(file, path):
    """Write the tables the program reads from the tallies of a whole run."""
    with np.load(file) as archive:
        arrays = {name: archive[name] for name in archive.files}
    volumes = dict(zip(ORGANS, arrays["volumes"], strict=True))
    beams = [(kv, ALUMINIUM_MM, copper) for kv in VOLTAGES_KV for copper in COPPERS_MM]
    regions = [name for name in TARGETS if name not in ("uterus", "scatter")]
    organs = np.zeros((len(regions), 4, len(KEPT), len(beams)))
    sphere = np.zeros((len(DIRECTIONS_DEG), len(beams), POLAR, AROUND))
    oblique = np.zeros((len(DIRECTIONS_DEG), len(KEPT), len(beams)))
    for place, region in enumerate(regions):
        for side, angle in enumerate((180, 0, 90, -90)):
            for number, beam in enumerate(beams):
                dose = organ_doses(Kept(arrays, region, angle), volumes, beam)
                organs[place, side, :, number] = [dose[name] for name in KEPT]
    for side, angle in enumerate(DIRECTIONS_DEG):
        for number, beam in enumerate(beams):
            sphere[side, number] = scatter(Kept(arrays, "scatter", angle), beam)
            dose = organ_doses(Kept(arrays, "lumbar", angle), volumes, beam)
            oblique[side, :, number] = [dose[name] for name in KEPT]
    shape = (len(VOLTAGES_KV), len(COPPERS_MM))
    np.savez_compressed(
        path,
        regions=regions,
        organs=KEPT,
        voltages_kv=VOLTAGES_KV,
        coppers_mm=COPPERS_MM,
        mgy_per_gy_cm2=organs.reshape(*organs.shape[:3], *shape).astype(np.float32),
        lumbar_mgy_per_gy_cm2=oblique.reshape(*oblique.shape[:2], *shape).astype(np.float32),
        angles_deg=np.array(DIRECTIONS_DEG, dtype=np.float64),
        usv_per_gy_cm2=sphere.reshape(len(sphere), *shape, POLAR, AROUND).astype(np.float32),
    )


class Kept:
    """The tallies of one beam of a file."""

    def __init__(self, arrays, place, angle):
        self.counts = arrays["counts"]
        self.scores, self.sphere = (arrays[f"{place}/{angle}/{part}"] for part in ("scores", "sphere"))


TARGETS = {
    "cervical": (0, 2.0, 74),
    "thoracic": (0, 3.0, 50),
    "lumbar": (0, 2.0, 26),
    "pelvis": (0, 2, 16),
    "uterus": (0, -2, 14),
    "scatter": (0, 2.0, 26),
}
"""Where beams are aimed. A vertebral body lies 8 cm (lumbar, as in CTs: 80 to 97 mm) and 7 cm (thoracic) from the skin
of the back, not 4.5 cm as the stylised column does: an eighth of a lateral field about that misses the body."""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--photons", type=int, default=3_000_000)
    parser.add_argument("--what", default="check")
    parser.add_argument("--half-cm", type=float, default=6.0, help="Half the side of the field at the isocentre.")
    parser.add_argument("--shift-cm", type=float, default=0.0, help="Move the beam toward the head.")
    parser.add_argument("--out", default="")
    parser.add_argument("--bake", nargs=2, metavar=("RUNS", "TABLES"), help="Make the program's tables of --out.")
    arguments = parser.parse_args()
    if arguments.bake:
        bake(*arguments.bake)
        return
    organ, material = phantom()
    without_arms = phantom(HALF_WITHOUT_ARMS_CM)
    volumes = {name: np.count_nonzero(organ == number) * VOXEL_CM**3 for name, number in NUMBER.items()}
    cross_sections = tables()
    began = time.time()
    kept = {}
    places = {"check": ("uterus", "lumbar"), "all": tuple(TARGETS)}.get(arguments.what, (arguments.what,))
    for place in places:
        half = arguments.half_cm
        angles = {"uterus": (0, 45, 90, 135, 180), "lumbar": OCTANTS, "scatter": OCTANTS}.get(place, (0, 90, 180, -90))
        model = (*(without_arms if place == "scatter" else (organ, material)), cross_sections)
        for angle in angles:
            x, y, z = TARGETS[place]
            aim = (x, y, z + arguments.shift_cm)
            one = Run(model, angle, aim, arguments.photons, iso=75.0 if place == "uterus" else 60.0, half=half)
            kept[f"{place}/{angle}"] = one
            print(place, angle, f"{time.time() - began:.0f} s", file=sys.stderr, flush=True)
            for beam in ((80.0, 3.1, 0.1), (80.0, 3.1, 0.9)):
                dose = organ_doses(one, volumes, beam)
                text = f"{place:8} {angle:5} {beam} E {dose['effective']:.3f} uterus {dose['uterus']:.3f}"
                if place == "uterus":
                    # KAP = kerma at the reference point × field there, 60 of 75 cm.
                    field = (2 * half * 60.0 / 75.0) ** 2
                    text += f" per Ka,r {dose['uterus'] * field * 1e-3:.3f}"
                text += "".join(f" {name} {dose[name]:.3f}" for name in ("stomach", "colon", "kidneys", "ovaries"))
                print(text, f"scatter {scatter(one, beam).min():.2f}-{scatter(one, beam).max():.2f}", flush=True)
    if arguments.out:
        arrays = {
            f"{key}/{part}": getattr(one, part) for key, one in kept.items() for part in ("scores", "squares", "sphere")
        }
        np.savez(arguments.out, counts=next(iter(kept.values())).counts, volumes=[volumes[n] for n in ORGANS], **arrays)


if __name__ == "__main__":
    main()
