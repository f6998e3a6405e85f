"""UIDs: well-formed, the same for the same parts, different for others."""

import subprocess
import sys
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UID

from fluoroscope.records.uids import IMPLEMENTATION_UID, derived_uid, new_uid


@given(parts=st.lists(st.text(max_size=20), min_size=1, max_size=4))
def test_a_derived_uid_is_a_uuid_and_the_same_again(parts):
    uid = derived_uid(*parts)
    assert UID(uid).is_valid
    assert uid == derived_uid(*parts)
    number = uuid.UUID(int=int(uid.removeprefix("2.25.")))
    assert (number.version, number.variant) == (8, uuid.RFC_4122)


def test_parts_do_not_run_into_each_other():
    assert derived_uid("ab", "c") != derived_uid("a", "bc") != derived_uid("abc")
    with pytest.raises(ValueError, match="at least one part"):
        derived_uid()


def test_new_uids_differ():
    assert new_uid() != new_uid()
    assert UID(new_uid()).is_valid
    assert UID(IMPLEMENTATION_UID).is_valid


def test_an_exam_can_be_listed_without_loading_a_dicom_library():
    code = "import sys, fluoroscope.records.exam_store; sys.exit('pydicom' in sys.modules or 'PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
