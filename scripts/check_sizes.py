"""Size guards: files and functions stay readable (limits of docs/adr/0004-layers-and-sizes.md)."""

import ast
import sys
from pathlib import Path

FILE_LINES = 800
FUNCTION_LINES = 60
CONSTRUCTOR_ARGUMENTS = 8
ROOMS_WITHOUT_A_NAME = {"core", "common", "util", "utils", "helper", "helpers", "base", "manager", "managers", "misc"}
# A kernel is one loop nest that compiles as a whole; it may be longer than a function.
KERNEL_DECORATORS = {"njit", "jit", "guvectorize", "vectorize", "intrinsic"}


def decorator_name(node: ast.expr) -> str:
    if isinstance(node, ast.Call):
        return decorator_name(node.func)
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def own_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of a function without its docstring."""
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def faults(path: Path) -> list[str]:
    text = path.read_text()
    found = []
    if path.stem in ROOMS_WITHOUT_A_NAME or path.parent.name in ROOMS_WITHOUT_A_NAME:
        found.append(f"{path}: a name of the field, not '{path.stem}'")
    if (count := text.count("\n")) > FILE_LINES:
        found.append(f"{path}: {count} lines, at most {FILE_LINES}")
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if KERNEL_DECORATORS & {decorator_name(decorator) for decorator in node.decorator_list}:
            continue
        if own_lines(node) > FUNCTION_LINES:
            found.append(f"{path}:{node.lineno}: {node.name} has {own_lines(node)} lines, at most {FUNCTION_LINES}")
        arguments = len(node.args.args) + len(node.args.kwonlyargs) - 1
        if node.name == "__init__" and arguments > CONSTRUCTOR_ARGUMENTS:
            found.append(
                f"{path}:{node.lineno}: a constructor with {arguments} arguments, at most {CONSTRUCTOR_ARGUMENTS}"
            )
    return found


def main() -> int:
    found = [fault for path in sorted(Path("src").rglob("*.py")) for fault in faults(path)]
    print("\n".join(found) or "sizes: all files and functions within their limits")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
