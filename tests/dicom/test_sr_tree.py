"""The lean walk of a report against pydicom: the same tree, or the file is refused."""

import struct
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.charset import encode_string
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    XRayRadiationDoseSRStorage,
)

from fluoroscope.dicom import sr_file, sr_tree
from fluoroscope.dicom.dose_objects import read_dose_object
from fluoroscope.dicom.sr_bytes import UnusualError, walk_report
from fluoroscope.dicom.sr_tree import read_sr
from fluoroscope.patient.stored import PatientFileError
from fluoroscope.records.contents import DoseEvent
from fluoroscope.records.identity import PatientAngles
from fluoroscope.records.rdsr import write_rdsr

pytestmark = pytest.mark.req("REQ-READ-001")
SYNTAXES = [ImplicitVRLittleEndian, ExplicitVRLittleEndian]


def by_library(path):
    return sr_tree._by_library(path, path.read_bytes())


@pytest.fixture
def ours(tmp_path, make_event, make_exam):
    """Give a report we wrote, of some events."""

    def write(count=3):
        path = tmp_path / f"ours{count}.dcm"
        events = [DoseEvent(make_event(n), PatientAngles(-10.0, 5.0)) for n in range(1, count + 1)]
        write_rdsr(path, make_exam(operator="Doe^Jane"), events, ended=datetime(2026, 11, 22, 11, tzinfo=UTC))
        return path

    return write


def open_ended(dataset):
    """Give every sequence and every item an undefined length."""
    for element in dataset:
        if element.VR == "SQ":
            element.is_undefined_length = True
            for one in element.value:
                one.is_undefined_length_sequence_item = True
                open_ended(one)


def as_written(path, source, syntax, undefined):
    dataset = pydicom.dcmread(source)
    dataset.file_meta.TransferSyntaxUID = syntax
    if undefined:
        open_ended(dataset)
    little = syntax != ExplicitVRBigEndian
    pydicom.dcmwrite(
        path, dataset, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=little, force_encoding=not little
    )
    return path


def same(path, lean=True):
    """Assert that both readers see the same; ``lean`` that pydicom was not asked for it."""
    if lean:
        assert walk_report(path.read_bytes())[1] is not None
    assert read_sr(path) == by_library(path)


@pytest.mark.parametrize("count", [0, 1, 12])
@pytest.mark.parametrize("undefined", [False, True], ids=["lengths", "delimiters"])
@pytest.mark.parametrize("syntax", SYNTAXES, ids=["implicit", "explicit"])
def test_our_own_reports_are_the_same_in_every_encoding(tmp_path, ours, syntax, undefined, count):
    source = ours(count)
    path = as_written(tmp_path / "again.dcm", source, syntax, undefined)
    same(path)
    assert read_sr(path).root == read_sr(source).root


def test_big_endian_is_left_to_the_library(tmp_path, ours):
    path = as_written(tmp_path / "big.dcm", ours(), ExplicitVRBigEndian, undefined=False)
    with pytest.raises(UnusualError):
        walk_report(path.read_bytes())
    assert read_sr(path).root == read_sr(ours()).root


def test_deflated_is_read_and_refused_when_it_is_cut_damaged_or_unpacks_to_too_much(tmp_path, ours, monkeypatch):
    path = as_written(tmp_path / "small.dcm", ours(), DeflatedExplicitVRLittleEndian, undefined=False)
    found = read_sr(path)
    assert (found.root, found.header) == (read_sr(ours()).root, read_sr(ours()).header)
    whole, damaged = path.read_bytes(), tmp_path / "damaged.dcm"
    damaged.write_bytes(whole[:-200])
    with pytest.raises(PatientFileError, match="cut short"):
        read_sr(damaged)
    damaged.write_bytes(whole[:-600] + bytes(600))
    with pytest.raises(PatientFileError, match="damaged"):
        read_sr(damaged)
    monkeypatch.setattr(sr_file, "MAX_UNPACKED", 4000)
    with pytest.raises(PatientFileError, match="unpacks to more"):
        read_sr(path)


@pytest.mark.parametrize("syntax", [*SYNTAXES, ExplicitVRBigEndian], ids=["implicit", "explicit", "big"])
def test_without_preamble_and_without_meta_information(tmp_path, ours, syntax):
    whole = as_written(tmp_path / "whole.dcm", ours(), syntax, undefined=False).read_bytes()
    content = 132 + 12 + struct.unpack_from("<I", whole, 140)[0]
    bare = tmp_path / "bare.dcm"
    for begin in (132, content):
        bare.write_bytes(whole[begin:])
        assert read_sr(bare).root == read_sr(ours()).root
    bare.write_bytes(b"\x08\x00\x05\x00 a text that begins like one")
    assert read_sr(bare) is None


@pytest.mark.parametrize("undefined", [False, True], ids=["lengths", "delimiters"])
def test_cut_at_any_byte_is_refused(tmp_path, ours, undefined):
    whole = as_written(tmp_path / "whole.dcm", ours(2), ExplicitVRLittleEndian, undefined).read_bytes()
    path = tmp_path / "cut.dcm"
    for size in range(133, len(whole), 97):
        path.write_bytes(whole[:size])
        with pytest.raises(PatientFileError, match="cut"):
            read_dose_object(path)


@pytest.mark.parametrize("within", ["content", "code"])
def test_millions_of_items_are_refused_before_they_are_built(tmp_path, ours, within):
    whole = ours(1).read_bytes()
    head = whole[: whole.index(b"\x40\x00\x30\xa7")]
    opened = struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF)
    if within == "code":
        opened += struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
        opened += struct.pack("<HH2sHI", 0x0040, 0xA043, b"SQ", 0, 0xFFFFFFFF)
    path = tmp_path / "many.dcm"
    path.write_bytes(head + opened + struct.pack("<HHI", 0xFFFE, 0xE000, 0) * 3_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(PatientFileError, match="more than"):
            read_sr(path)
        assert tracemalloc.get_traced_memory()[1] < 100e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("charset", "words"),
    [("", "plain"), ("ISO_IR 100", "Größe, cœur"[:6]), ("ISO_IR 192", "線量 Größe"), ("ISO_IR 144", "Доза"),
     (["", "ISO 2022 IR 87"], "線量"), ("GB18030", "剂量")],
)  # fmt: skip
@pytest.mark.parametrize("syntax", SYNTAXES, ids=["implicit", "explicit"])
def test_words_of_every_script(tmp_path, charset, words, syntax):
    dataset = Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID, dataset.SOPInstanceUID = XRayRadiationDoseSRStorage, "2.25.1"
    dataset.SpecificCharacterSet = charset
    dataset.PatientName, dataset.StudyDescription = f"{words}^{words}", words
    dataset.ValueType = "CONTAINER"
    note, name = Dataset(), Dataset()
    name.CodeValue, name.CodingSchemeDesignator, name.CodeMeaning = "1", "99X", words
    note.ValueType, note.TextValue, note.ConceptNameCodeSequence = "TEXT", f"{words}\\{words}", [name]
    person = Dataset()
    person.ValueType, person.PersonName = "PNAME", f"{words}^A"
    dataset.ContentSequence = [note, person]
    path = tmp_path / "words.dcm"
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    same(path)
    found = read_sr(path)
    assert found.root.children[0].concept.meaning == words
    assert found.header["PatientName"] == f"{words}^{words}"
    assert encode_string(words, pydicom.charset.convert_encodings(charset or ["iso8859"]))


def test_numbers_of_every_form(tmp_path, ours):
    """Lists, no value, a float beside the decimals, spaces: as pydicom has them."""
    dataset = pydicom.dcmread(ours(1))
    root = dataset.ContentSequence[-1]
    forms = [("1.5", None), (["70", "0", "72"], None), ("", None), ("1", 1.25), (" 3 ", None), ("-1e-7", None)]
    items = []
    for decimal, floating in forms:
        one, part, unit = Dataset(), Dataset(), Dataset()
        unit.CodeValue, unit.CodingSchemeDesignator, unit.CodeMeaning = "kV", "UCUM", "kV"
        part.NumericValue, part.MeasurementUnitsCodeSequence = decimal, [unit]
        if floating is not None:
            part.FloatingPointValue = floating
        one.ValueType, one.MeasuredValueSequence = "NUM", [part]
        items.append(one)
    root.ContentSequence = items
    path = tmp_path / "numbers.dcm"
    dataset.save_as(path)
    same(path)
    numbers = [tuple(m.number for m in one.measurements) for one in read_sr(path).root.children[-1].children]
    assert numbers == [(1.5,), (70.0, 0.0, 72.0), (), (1.25,), (3.0,), (-1e-7,)]


def test_a_report_of_another_kind_from_a_package():
    same(Path(get_testdata_file("test-SR.dcm")), lean=False)


@pytest.mark.data
def test_real_reports_are_the_same(data_folder):
    paths = sorted((data_folder / "rdsr").glob("*.dcm"))
    assert len(paths) >= 9
    for path in paths:
        same(path)


@pytest.mark.data
@pytest.mark.parametrize("undefined", [False, True], ids=["lengths", "delimiters"])
@pytest.mark.parametrize("syntax", SYNTAXES, ids=["implicit", "explicit"])
def test_real_reports_are_the_same_in_every_encoding(tmp_path, data_folder, syntax, undefined):
    for source in sorted((data_folder / "rdsr").glob("openrem__*.dcm")):
        same(as_written(tmp_path / source.name, source, syntax, undefined))


def damages(whole, count, seed):
    random = np.random.default_rng(seed)
    for _ in range(count):
        damaged = bytearray(whole)
        at, size = int(random.integers(132, len(whole))), int(random.choice([1, 1, 2, 4, 60]))
        match int(random.integers(4)):
            case 0:
                del damaged[at : at + size]
            case 1:
                damaged[at:at] = random.bytes(size)
            case 2:
                damaged[at] ^= 1 << int(random.integers(8))
            case _:
                damaged[at : at + size] = random.bytes(min(size, len(whole) - at))
        yield bytes(damaged)


@pytest.mark.parametrize("undefined", [False, True], ids=["lengths", "delimiters"])
@pytest.mark.parametrize("syntax", SYNTAXES, ids=["implicit", "explicit"])
def test_damaged_reports_give_the_same_tree_or_are_refused(tmp_path, ours, syntax, undefined):
    whole = as_written(tmp_path / "whole.dcm", ours(1), syntax, undefined).read_bytes()
    path, read, refused = tmp_path / "damaged.dcm", 0, 0
    for damaged in damages(whole, 80, 11):
        path.write_bytes(damaged)
        try:
            found = read_sr(path)
        except PatientFileError:
            refused += 1
            continue
        read += 1
        try:
            known = by_library(path)
        except PatientFileError:
            continue  # the library also stumbles over what neither of the two looks at
        assert repr(found) == repr(known)
    assert read > 15
    assert refused > 5


def nested(head, depth, long):
    opened = struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF if long else 0x7FFFFFFF)
    return head + (opened + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)) * depth


@pytest.mark.parametrize("depth", [40, 3000, 1_000_000])
@pytest.mark.parametrize("tag", [0xA730, 0xA504], ids=["content", "other"])
def test_deep_files_are_refused_without_recursion_in_little_memory(tmp_path, ours, tag, depth):
    whole = ours(1).read_bytes()
    head = whole[: whole.index(b"\x40\x00\x30\xa7")]
    path = tmp_path / "deep.dcm"
    path.write_bytes(nested(head, depth, long=True).replace(b"\x40\x00\x30\xa7", struct.pack("<HH", 0x0040, tag)))
    size = path.stat().st_size
    tracemalloc.start()
    try:
        with pytest.raises(PatientFileError, match=r"deeper than 32|more than"):
            read_sr(path)
        assert tracemalloc.get_traced_memory()[1] < 2 * size + 10e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["cut", "long", "missing", "nothing"])
def test_lengths_that_lie_and_files_that_end_early_are_refused(tmp_path, ours, name):
    whole = ours(3).read_bytes()
    at = whole.index(b"\x40\x00\x30\xa7")
    made = {
        "cut": whole[:-700],
        "long": whole[: at + 8] + struct.pack("<I", 0x7FFFFFF0) + whole[at + 12 :],
        "missing": whole[:at],
        "nothing": whole[:132],
    }[name]
    path = tmp_path / f"{name}.dcm"
    path.write_bytes(made)
    tracemalloc.start()
    try:
        if name == "nothing":
            assert read_sr(path) is None
        else:
            with pytest.raises(PatientFileError, match=name):
                read_sr(path)
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()
