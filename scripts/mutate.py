"""Do the tests notice if a line is wrong? One small change at a time to a module, in memory, its tests run on each.

    scripts/mutate.py anonymize.zones.decide tests/zones/test_decide.py tests/zones/test_zone_gate.py

Run by hand. Nothing is written; kernels run without the JIT. What survives is printed: a missing test, or a change
that changes nothing. Each mutant is a fork of a process that has the heavy imports behind it: about a second.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import resource
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
SPARE_CPU_S = 5  # on top of three times what the unchanged module takes
SURVIVED, KILLED = 0, 1
SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Div, ast.Mod: ast.Mult, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr,
}  # fmt: skip
NAMES = {"min": "max", "max": "min", "sin": "cos", "cos": "sin", "bisect_left": "bisect_right", "any": "all"}
NAMES |= {"all": "any", "floor": "ceil", "ceil": "floor", "bisect_right": "bisect_left"}
HEAVY = ("numpy", "numba", "pytest", "hypothesis", "shapely", "onnxruntime")


def sites(tree: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, ast.AST, int]]:
    """Where a change may be made: node, field, place in that field's list, what to put there, line."""
    waiting = [(tree, 1)]
    while waiting:
        node, line = waiting.pop()
        line = getattr(node, "lineno", line)
        if isinstance(node, ast.FunctionDef) and node.name == "__repr__":
            continue
        for field, value in ast.iter_fields(node):
            if field in ("annotation", "returns", "bases", "decorator_list"):
                continue
            for place, child in enumerate(value if isinstance(value, list) else [value]):
                at = place if isinstance(value, list) else None
                for other in changed(child, field):
                    yield node, field, at, other, getattr(child, "lineno", line)
                if isinstance(child, ast.AST):
                    waiting.append((child, line))


def changed(child: object, field: str) -> list[ast.AST]:
    """What may stand in a node's place."""
    if isinstance(child, (ast.cmpop, ast.boolop, ast.operator)):
        swap = SWAPPED.get(type(child))
        return [swap()] if swap else []
    if isinstance(child, ast.UnaryOp) and isinstance(child.op, (ast.Not, ast.USub)):
        return [child.operand]
    if isinstance(child, ast.Constant):
        return constants(child.value)
    if isinstance(child, (ast.Compare, ast.BoolOp, ast.Call)) and field == "test":
        return [ast.UnaryOp(ast.Not(), copy.deepcopy(child))]
    if isinstance(child, ast.Name) and field == "func" and child.id in NAMES:
        return [ast.Name(NAMES[child.id], child.ctx)]
    if isinstance(child, ast.Return) and child.value is not None:
        nothing = isinstance(child.value, ast.Constant) and child.value.value is None
        return [] if nothing else [ast.Return(ast.Constant(None))]
    if isinstance(child, (ast.Break, ast.Continue)):
        return [ast.Continue() if isinstance(child, ast.Break) else ast.Pass()]
    if isinstance(child, (ast.AugAssign, ast.Delete)):
        return [ast.Pass()]
    if isinstance(child, ast.Expr) and isinstance(child.value, ast.Call):
        return [ast.Pass()]
    if isinstance(child, ast.Assign) and isinstance(child.targets[0], (ast.Attribute, ast.Subscript)):
        return [ast.Pass()]
    return []


def constants(value: object) -> list[ast.AST]:
    if isinstance(value, bool):
        return [ast.Constant(not value)]
    if isinstance(value, int):
        return [ast.Constant(value + 1)]
    if isinstance(value, float):
        return [ast.Constant(value * 1.25 + 1e-9)]
    return []


class Mutated(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives out the changed module in place of the one on disk."""

    def __init__(self, name: str, path: str, tree: ast.Module) -> None:
        self.name, self.path, self.tree = name, path, tree

    def find_spec(
        self, name: str, path: object = None, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        return (
            importlib.util.spec_from_file_location(name, self.path, loader=self)
            if name == self.name
            else None
        )

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self.tree, self.path, "exec"), module.__dict__)


def survives(finder: Mutated, tests: Sequence[str], limit_s: int) -> bool:
    """Whether all tests pass on the changed module; more processor time than the limit is a failure too."""
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (limit_s, limit_s))
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        sys.meta_path.insert(0, finder)
        code = KILLED
        try:
            import pytest

            code = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--tb=no", *tests]))
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == SURVIVED


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("module")
    parser.add_argument("tests", nargs="+")
    parser.add_argument("--lines", help="only changes on these lines: 40-80")
    options = parser.parse_args()
    os.environ["NUMBA_DISABLE_JIT"] = "1"
    sys.path[:0] = [str(ROOT), str(ROOT / "kernels"), str(ROOT / "models")]
    os.chdir(ROOT)
    for heavy in HEAVY:
        importlib.import_module(heavy)
    path = importlib.machinery.PathFinder.find_spec(
        options.module.rpartition(".")[2],
        [str(p / Path(*options.module.split(".")[:-1])) for p in (ROOT, ROOT / "kernels")],
    )
    assert path is not None and path.origin is not None
    source = Path(path.origin).read_text("utf-8")
    first, last = map(int, (options.lines or "0-1000000").split("-"))
    return run(Mutated(options.module, path.origin, ast.parse(source)), source, options.tests, (first, last))


def run(finder: Mutated, source: str, tests: Sequence[str], between: tuple[int, int]) -> int:
    if not survives(finder, tests, resource.RLIM_INFINITY):
        print("the tests fail on the module as it is")
        return 2
    taken = resource.getrusage(resource.RUSAGE_CHILDREN)
    limit_s = SPARE_CPU_S + round(3.0 * (taken.ru_utime + taken.ru_stime))
    made, alive = 0, 0
    count = sum(1 for _ in sites(ast.parse(source)))
    for number in range(count):
        tree = ast.parse(source)
        node, field, at, other, line = list(sites(tree))[number]
        if not between[0] <= line <= between[1]:
            continue
        whole = (
            isinstance(node, ast.mod | ast.stmt) and at is not None
        )  # a statement, else part of an expression
        gone = ast.unparse(getattr(node, field)[at] if whole else node)
        if at is None:
            setattr(node, field, other)
        else:
            getattr(node, field)[at] = other
        put = ast.unparse(other if whole else node)
        finder.tree = ast.fix_missing_locations(tree)
        made += 1
        if survives(finder, tests, limit_s):
            alive += 1
            print(f"survived, line {line}: {gone.splitlines()[0]}  ->  {put.splitlines()[0]}", flush=True)
    print(f"{finder.name}: {made - alive} of {made} killed", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
