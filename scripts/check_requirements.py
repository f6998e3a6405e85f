"""Print which test proves which requirement; fail on one without a test, and on a test of an unknown one."""

import re
import sys
from pathlib import Path

REQUIREMENT = re.compile(r"^\|\s*(REQ-[A-Z]+-\d{3}|HAZ-[A-Z]+-\d{3})\s*\|\s*(.*?)\s*\|", re.MULTILINE)
MARK = re.compile(r"mark\.req\(([^)]*)\)")
IDENTIFIER = re.compile(r"(?:REQ|HAZ)-[A-Z]+-\d{3}")


def main() -> int:
    wanted: dict[str, str] = {}
    for page in sorted(Path("docs/requirements").glob("*.md")):
        wanted.update(REQUIREMENT.findall(page.read_text()))
    proofs: dict[str, list[str]] = {identifier: [] for identifier in wanted}
    unknown = []
    for test in sorted([*Path("tests").rglob("test_*.py"), *Path("web/test").rglob("*.test.ts")]):
        text = test.read_text()
        found = [identifier for mark in MARK.findall(text) for identifier in IDENTIFIER.findall(mark)]
        found += re.findall(r"\[((?:REQ|HAZ)-[A-Z]+-\d{3})\]", text)
        for identifier in dict.fromkeys(found):
            if identifier in proofs:
                proofs[identifier].append(str(test))
            else:
                unknown.append(f"{test}: {identifier} is in no page of docs/requirements")
    for identifier, tests in proofs.items():
        print(f"{identifier}  {', '.join(tests) or 'NO TEST'}")
    untested = [f"{identifier} has no test: {wanted[identifier]}" for identifier, tests in proofs.items() if not tests]
    print("\n".join([*unknown, *untested]) or f"requirements: all {len(wanted)} have a test")
    return 1 if unknown or untested else 0


if __name__ == "__main__":
    sys.exit(main())
