"""Run the tests that come with the installed NumPy on `trueno.np`, and count them by the functions that they call.

    python -m tools.numpy_suite                          # all modules below, functions on ndarrays
    python -m tools.numpy_suite _core/test_indexing.py --tensors
    python -m tools.numpy_suite lib --failures           # and why tests failed
    python -m tools.numpy_suite --peer                   # NumPy itself under the same runner
    python -m tools.numpy_suite --json all.json          # keep what became of each test
    python -m tools.numpy_suite --page all.json ...      # write docs/numpy-suite.md from such files

A test module is read from NumPy's installation and imported with every function of NumPy's that `trueno.np` has
replaced by a stand-in. It hands arrays on as Tensors on the same memory, and what comes back as ndarrays; with
``--tensors`` results stay Tensors, so that the tests use their indexing, operators and methods as well. A call with
something that Trueno does not have (objects, strings, dates, structures, other byte orders, long double, subclasses,
foreign protocols) is NumPy's and counts for nothing. A test counts if it calls at least one stand-in; the report
names the functions of those that fail.
"""

from __future__ import annotations

import argparse
import ast
import collections
import json
import re
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest

import trueno.np
from tools.numpy_suite_scope import MODULES, NOT_RUN, left_out
from trueno import Tensor, dtypes
from trueno.np.absent import FEATURES

HOME = Path(numpy.__file__).parent
#: What most tests make their arrays with: a test that calls nothing else says little.
MAKERS = {"array", "asarray", "zeros", "ones", "empty", "arange", "full", "asanyarray", "linspace", "eye"}
#: Functions of NumPy's that return arrays without axes, where all others return scalars.
ARRAYS = MAKERS | {
    "atleast_1d", "broadcast_arrays", "broadcast_to", "copy", "diagonal", "empty_like", "expand_dims", "frombuffer",
    "full_like", "load", "loadtxt", "genfromtxt", "moveaxis", "ones_like", "real", "imag", "reshape", "rollaxis",
    "squeeze", "swapaxes", "transpose", "where", "zeros_like", "meshgrid",
}  # fmt: skip


#: Modules whose functions stay NumPy's.
_LEFT_ALONE = ("numpy.testing", "numpy.random", "numpy.ma", "numpy._core._multiarray_tests")


class Recorder:
    """What the test that runs has called, and what became of the tests before."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.results: dict[str, tuple[str, str, tuple[str, ...]]] = {}


RECORDER = Recorder()


# --- calls ------------------------------------------------------------------------------------------------------------


class Foreign(Exception):
    """An argument that Trueno has no word for: the call is NumPy's."""


def _is_dtype(value: Any) -> bool:
    try:
        return isinstance(numpy.dtype(value), numpy.dtype)
    except Exception:
        return False


def _check_dtype(value: Any) -> None:
    if value is not None and _is_dtype(value) and numpy.dtype(value) not in dtypes.STORED:
        raise Foreign


class Converter:
    """The arguments of one call as Tensors, and what came of it as NumPy's arrays."""

    def __init__(self, tensors: bool, keeps: bool = False) -> None:
        self.tensors, self.keeps = tensors, keeps
        self.given: dict[int, tuple[Any, Any]] = {}

    def argument(self, value: Any, name: str = "") -> Any:
        if isinstance(value, Tensor):
            return value
        if isinstance(value, (numpy.ndarray, numpy.generic)):
            return self._array(value)
        if name in ("dtype", "type") or isinstance(value, (numpy.dtype, type)):
            _check_dtype(value)
            return value
        if isinstance(value, (Standin, Ufunc)):
            return value.ours
        if type(value) in (list, tuple):
            return type(value)(self.argument(one) for one in value)
        if type(value) is dict:
            return {key: self.argument(one) for key, one in value.items()}
        if isinstance(value, (str, bytes)) and not name:
            return value
        if any(hasattr(value, one) for one in ("__array_function__", "__array__", "__array_interface__")):
            raise Foreign
        return value

    def _array(self, value: Any) -> Any:
        if value.dtype not in dtypes.STORED or type(value) not in (numpy.ndarray, *_SCALARS):
            raise Foreign
        if isinstance(value, numpy.generic):
            return value
        if not value.flags.aligned:
            raise Foreign
        tensor = trueno.np.asarray(value)
        self.given[id(tensor)] = (tensor, value)
        return tensor

    def result(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            if id(value) in self.given:
                return self.given[id(value)][1]
            if self.tensors:
                return value
            array = value.detach().numpy()
            return array[()] if array.ndim == 0 and not self.keeps else array
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*(self.result(one) for one in value))
        if type(value) in (list, tuple):
            return type(value)(self.result(one) for one in value)
        return value


_SCALARS = {one.type for one in dtypes.STORED}


def _host(value: Any) -> Any:
    """Return an argument for NumPy: stand-ins and Tensors as what they stand for."""
    if isinstance(value, Tensor):
        return value.detach().numpy()
    if isinstance(value, (Standin, Ufunc)):
        return value.theirs
    if type(value) in (list, tuple):
        return type(value)(_host(one) for one in value)
    return value


class Standin:
    """A function of NumPy's by Trueno's."""

    def __init__(self, theirs: Any, ours: Any, name: str, tensors: bool) -> None:
        self.theirs, self.ours, self._name, self._tensors = theirs, ours, name, tensors
        self.__name__ = getattr(theirs, "__name__", name)
        self.__doc__ = theirs.__doc__
        self.__wrapped__ = theirs

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        converter = Converter(self._tensors, self._name in ARRAYS)
        try:
            given = [converter.argument(one) for one in args]
            named = {key: converter.argument(one, key) for key, one in kwargs.items()}
            if self._name in ("array", "asarray", "asanyarray", "full", "fromiter", "ascontiguousarray", "copy"):
                _check_dtype_of(args, kwargs)
            for one in args[1:]:
                if isinstance(one, str) and _is_dtype(one):
                    _check_dtype(one)
        except Foreign:
            return self.theirs(*map(_host, args), **{key: _host(one) for key, one in kwargs.items()})
        RECORDER.calls.append(self._name)
        return converter.result(self.ours(*given, **named))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.theirs, name)

    def __eq__(self, other: Any) -> bool:
        return other is self or other is self.theirs

    def __hash__(self) -> int:
        return hash(self.theirs)


def _check_dtype_of(args: tuple, kwargs: dict[str, Any]) -> None:
    """Raise Foreign for values that NumPy would make elements of a dtype that Trueno does not have."""
    if kwargs.get("dtype") is None and args:
        try:
            made = numpy.asarray(_host(args[0]))
        except Exception:
            return
        if made.dtype not in dtypes.STORED:
            raise Foreign


class Ufunc(Standin):
    """A ufunc of NumPy's by Trueno's, with its methods. Tests look for ufuncs by `isinstance`."""

    __class__ = property(lambda self: numpy.ufunc)  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        theirs = getattr(self.theirs, name)
        ours = getattr(self.ours, name, None)
        if name in ("reduce", "accumulate", "outer", "at", "reduceat") and ours is not None:
            return Standin(theirs, ours, f"{self._name}.{name}", self._tensors)
        return theirs


class Namespace(types.ModuleType):
    """A module of NumPy's with its functions translated. Tests read its `__dict__` as well as its attributes."""

    def __init__(self, module: types.ModuleType, translate: Callable[[Any], Any]) -> None:
        super().__init__(module.__name__)
        functions = {name: translate(one) for name, one in vars(module).items() if callable(one)}
        self.__dict__.update(functions, _module=module, _translate=translate)

    def __getattr__(self, name: str) -> Any:
        return self._translate(getattr(self._module, name))

    def __dir__(self) -> list[str]:
        return dir(self._module)


class _ArrayType(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, (numpy.ndarray, Tensor))

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return numpy.ndarray(*args, **kwargs)


class ndarray(metaclass=_ArrayType):
    """What tests ask whether something is an array by."""


def translation(tensors: bool) -> Callable[[Any], Any]:
    """Return the function that maps NumPy's objects to their stand-ins, and all others to themselves."""
    found: dict[int, Any] = {}
    spaces = (
        (numpy, trueno.np, ""), (numpy.linalg, trueno.np.linalg, "linalg."), (numpy.fft, trueno.np.fft, "fft."),
    )  # fmt: skip
    for theirs, ours, prefix in spaces:
        for name in dir(theirs):
            mine, other = getattr(ours, name, None), getattr(theirs, name)
            if name.startswith("_") or isinstance(other, (type, types.ModuleType)) or not callable(other):
                continue
            if mine is not None and mine is not other and id(other) not in found:
                kind = Ufunc if isinstance(other, numpy.ufunc) else Standin
                found[id(other)] = kind(other, mine, prefix + name, tensors)
    if tensors:
        found[id(numpy.ndarray)] = ndarray
        ours = trueno.np.testing
        found |= {id(getattr(numpy.testing, name)): getattr(ours, name) for name in ours.__all__}
    modules: dict[str, Namespace] = {}

    def translate(value: Any) -> Any:
        if isinstance(value, types.ModuleType) and value.__name__.partition(".")[0] == "numpy":
            if value.__name__.startswith(_LEFT_ALONE) and not (tensors and value is numpy.testing):
                return value
            if value.__name__ not in modules:
                modules[value.__name__] = Namespace(value, translate)
            return modules[value.__name__]
        return found.get(id(value), value)

    return translate


# --- test modules -----------------------------------------------------------------------------------------------------


class _Imports(ast.NodeTransformer):
    """Put the translation of what it binds behind each import."""

    def _translated(self, node: ast.Import | ast.ImportFrom) -> list[ast.stmt]:
        names = [(one.asname or one.name).partition(".")[0] for one in node.names if one.name != "*"]
        lines = "\n".join(f"{name} = __translate__({name})" for name in names)
        return [node, *(ast.copy_location(one, node) for one in ast.parse(lines).body)]

    visit_Import = visit_ImportFrom = _translated


class RewrittenModule(pytest.Module):
    """A test module of NumPy's, imported with its functions translated."""

    translate: Callable[[Any], Any] = staticmethod(lambda value: value)

    def _getobj(self) -> types.ModuleType:
        tree = _Imports().visit(ast.parse(self.path.read_text(), str(self.path)))
        folder = ".".join(self.path.relative_to(HOME.parent).parent.parts)
        module = types.ModuleType(f"{folder}.{self.path.stem}")
        module.__dict__.update(
            __file__=str(self.path), __package__=folder, __translate__=type(self).translate,
        )  # fmt: skip
        sys.modules[module.__name__] = module
        exec(compile(ast.fix_missing_locations(tree), str(self.path), "exec"), module.__dict__)
        return module


class Plugin:
    """Collects the modules, leaves out what is skipped, and notes what each test called and how it ended."""

    def pytest_pycollect_makemodule(self, module_path: Path, parent: Any) -> Any:
        return RewrittenModule.from_parent(parent, path=module_path)

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            RECORDER.results[report.nodeid] = ("not collected", str(report.longrepr)[-300:], ())

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        for item in items:
            reason = next((why for pattern, why in NOT_RUN.items() if re.search(pattern, item.nodeid)), None)
            if reason is not None:
                RECORDER.results[_name_of(item)] = ("skipped", reason, ())
                item.add_marker(pytest.mark.skip(reason=reason))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: Any) -> Iterator[None]:
        RECORDER.calls.clear()
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: Any, call: Any) -> Iterator[Any]:
        report = yield
        if call.when == "call":
            RECORDER.results[_name_of(item)] = _outcome(_name_of(item), report, call)
        return report


def _name_of(item: Any) -> str:
    return str(item.nodeid)


def _outcome(name: str, report: Any, call: Any) -> tuple[str, str, tuple[str, ...]]:
    """Return a test's state, the reason for it and the functions that it called, the last one last."""
    calls = tuple(dict.fromkeys(reversed(RECORDER.calls)))[::-1]
    if not calls:
        return "uncovered", "", ()
    if report.outcome != "failed":
        return report.outcome if report.outcome == "passed" else "skipped by NumPy", "", calls
    text = f"{call.excinfo.typename}: {call.excinfo.value}"
    feature = left_out(name, text)
    return ("left out", feature, calls) if feature else ("failed", text[:300], calls)


# --- report -----------------------------------------------------------------------------------------------------------


def _share(passed: int, failed: int) -> str:
    return f"{passed / max(passed + failed, 1):.1%} ({passed} of {passed + failed})"


def summary(results: dict[str, tuple[str, str, tuple[str, ...]]], failures: bool) -> str:
    """Return the report: shares of tests, by module and by function, and what was left out."""
    states = collections.Counter(state for state, _, _ in results.values())
    lines = []
    by_module: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    by_function: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    beyond: collections.Counter = collections.Counter()
    for name, (state, _, calls) in results.items():
        by_module[name.partition("::")[0]][state] += 1
        if state in ("passed", "failed"):
            beyond[state] += not set(calls) <= MAKERS
            # A test that fails is held against the function that was called last.
            for one in calls if state == "passed" else calls[-1:]:
                by_function[one][state] += 1
    for name, counts in sorted(by_module.items()):
        rest = ", ".join(
            f"{state} {count}" for state, count in sorted(counts.items()) if state not in ("passed", "failed")
        )
        lines.append(f"{name:48} {_share(counts['passed'], counts['failed']):24} {rest}")
    lines.append("\nfunctions whose tests fail")
    worst = sorted(by_function.items(), key=lambda one: -one[1]["failed"])
    lines += [f"  {name:24} {_share(c['passed'], c['failed'])}" for name, c in worst if c["failed"]]
    if failures:
        lines.append("\nfailures")
        for name, (state, why, calls) in results.items():
            if state == "failed":
                lines.append(f"  {name} [{calls[-1]}]\n      {' '.join(why.split())[:200]}")
    for state in ("not collected", "skipped", "left out"):
        reasons = collections.Counter(why for one, why, _ in results.values() if one == state)
        lines.append(f"\n{state}: {states[state]}")
        lines += [f"  {count:6} {why}" for why, count in reasons.most_common()]
    lines.append(f"\ntests that call no covered function: {states['uncovered']}")
    lines.append(f"covered tests that pass: {_share(states['passed'], states['failed'])}")
    lines.append(f"of those that do more than make arrays: {_share(beyond['passed'], beyond['failed'])}")
    clean = sum(1 for counts in by_function.values() if not counts["failed"])
    lines.append(f"functions all of whose tests pass: {clean} of {len(by_function)}")
    return "\n".join(lines)


PAGE = Path(__file__).parent.parent / "docs" / "numpy-suite.md"
_PAGE_HEAD = """# NumPy's own tests on trueno.np

`make numpy-suite` runs the test modules that come with NumPy {version} with its functions replaced by those of
`trueno.np`, and `python -m tools.numpy_suite --page` writes this page from the outcomes. A test is *applicable* if it
calls at least one function of Trueno's; one that fails for something that Trueno does not have, by
[the migration page](numpy-migration.md), is *left out*, with the reason counted below; all others count.

| module | passed | applicable | share | left out |
|---|---|---|---|---|
"""


def page(results: dict[str, tuple[str, str, tuple[str, ...]]]) -> str:
    """Return docs/numpy-suite.md: what passed of what is applicable, and why tests are left out."""
    by_module: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    reasons: collections.Counter = collections.Counter()
    for name, (state, why, _) in results.items():
        module = name.partition("::")[0].replace("tests/test_", "").removesuffix(".py")
        for row in (module, "in all"):
            by_module[row][state] += 1
        reasons[why] += state == "left out"
    total = by_module.pop("in all")
    lines = [_PAGE_HEAD.format(version=numpy.__version__).rstrip("\n")]
    for module, counts in [*sorted(by_module.items()), ("**in all**", total)]:
        applicable = counts["passed"] + counts["failed"]
        share = f"{counts['passed'] / applicable:.2%}" if applicable else "-"
        lines.append(f"| {module} | {counts['passed']} | {applicable} | {share} | {counts['left out']} |")
    whole = total["passed"] + total["failed"] + total["left out"]
    lines += [
        "",
        f"If those left out counted as failures, {total['passed'] / max(whole, 1):.1%} would pass. Tests that call no "
        f"function of Trueno's, and count for nothing: {total['uncovered']}. Most tests are cases of a few: a share "
        "says more of a module than of all.",
        "",
    ]
    lines += ["## Why tests are left out", "", "| what they ask for | tests |", "|---|---|"]
    lines += [f"| {why}: {FEATURES[why]} | {count} |" for why, count in reasons.most_common() if count]
    failed = [name for name, (state, _, _) in results.items() if state == "failed"]
    lines += ["", "## What fails", ""] + [f"- `{name.replace('|', chr(92) + '|')}`" for name in sorted(failed)]
    return "\n".join([*lines, ""])


def paths(wanted: list[str]) -> list[str]:
    """Return the files of test modules: of folders ("lib"), of single ones ("lib/test_utils.py"), or all."""
    found = []
    for folder, names in MODULES.items():
        for name in names:
            short = f"{folder}/test_{name}.py"
            file = HOME / folder / "tests" / f"test_{name}.py"
            if file.exists() and (not wanted or folder in wanted or short in wanted):
                found.append(str(file))
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run, and return 0 if all covered tests pass."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", help='folders or modules, as "lib" or "lib/test_utils.py"')
    parser.add_argument("--tensors", action="store_true", help="results stay Tensors")
    parser.add_argument("--peer", action="store_true", help="call NumPy itself")
    parser.add_argument("--failures", action="store_true", help="list them")
    parser.add_argument("--json", help="a file for what became of each test")
    parser.add_argument("-k", help="as pytest's")
    parser.add_argument(
        "--page", nargs="+", metavar="JSON", help="write docs/numpy-suite.md from such files; run nothing"
    )
    given = parser.parse_args(arguments)
    if given.page:
        PAGE.write_text(
            page({name: one for file in given.page for name, one in json.loads(Path(file).read_text()).items()})
        )
        return 0
    if not given.peer:
        RewrittenModule.translate = staticmethod(translation(given.tensors))
    options = [
        "-q", "--no-header", "--tb=no", "-p", "no:cacheprovider", "-p", "no:warnings", "-W", "ignore",
        "--rootdir", str(HOME), "-c", "/dev/null", "--show-capture=no", "--continue-on-collection-errors",
    ]  # fmt: skip
    if given.k:
        options += ["-k", given.k]
    pytest.main([*options, "-r", "N", *paths(given.modules)], plugins=[Plugin()])
    print(summary(RECORDER.results, given.failures))
    if given.json:
        Path(given.json).write_text(json.dumps(RECORDER.results, indent=1))
    return int(any(state == "failed" for state, _, _ in RECORDER.results.values()))


if __name__ == "__main__":
    sys.exit(main())
