"""Fail when a committed file names a package registry or a folder of one machine, or was built or fetched.

Installs work the same through any mirror (docs/adr/0003), and nobody else has the author's folders.
"""

import re
import subprocess
import sys
from pathlib import Path

WORDS = {
    "names a package registry": r"pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)|yarnpkg\.com|//registry\b"
    # A host: a room of the package has the name too.
    r"|(?:^|[^\w.])registry(?:\.[\w-]+)+\.(?:org|com|net|io|dev|cloud|internal|local|lan|corp)\b"
    r"|index-url|find-links|\"resolved\":",
    "names a folder of one machine": r"(?:^|[^\w.~/-])(?:/root|/home|/Users|/work|/opt|/mnt|/tmp)(?:/|\b[^\w-])",
}
FILES = {
    "is built, not written": r"(?:^|/)(?:node_modules|static|dist|site|__pycache__)/|\.(?:whl|so|pyc|log|sqlite)$",
    "is data of others": r"\.(?:nii|nii\.gz|nrrd|mha|dcm)$",
}
# Where such words are meant.
ALLOWED = {"scripts/check_committed.py": "the words themselves"}
SHOWN = 160


def git(*words: str) -> list[str]:
    done = subprocess.run(["git", *words], capture_output=True, text=True, check=False)
    if done.returncode > 1:  # git grep says 1 when it found nothing.
        raise SystemExit(f"error: git {words[0]}: {done.stderr.strip()}")
    return done.stdout.splitlines()


def main() -> int:
    if not Path(".git").exists():
        print("committed: not a git checkout, nothing to check")
        return 0
    found = []
    for fault, pattern in WORDS.items():
        lines = git("grep", "--cached", "-nIP", "-e", pattern)
        found += [f"{line[:SHOWN]}  <- {fault}" for line in lines if line.split(":", 1)[0] not in ALLOWED]
    for fault, pattern in FILES.items():
        found += [f"{name}  <- {fault}" for name in git("ls-files") if re.search(pattern, name)]
    print("\n".join(found) or "committed: no registry, no folder of one machine, nothing built")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
