"""TRUENO_DEBUG=bounds: plans made wrong on purpose are caught before they touch memory, right ones compute the same."""

from __future__ import annotations

import numpy as np
import pytest

import trueno as tn
from tests.ops.support import tensors, trace
from trueno import config
from trueno.codegen.contraction.steps import Step
from trueno.codegen.stage import SHORT, meta_layout
from trueno.runtime import cpu, launcher
from trueno.runtime.bounds import BoundsError
from trueno.runtime.operation import Operation

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def checked(monkeypatch):
    monkeypatch.setenv("TRUENO_DEBUG", "bounds")
    config.reload()
    yield
    monkeypatch.undo()
    config.reload()


@pytest.fixture(params=[1, 2])
def threads(request):
    before = tn.get_num_threads()
    tn.set_num_threads(request.param)
    yield request.param
    tn.set_num_threads(before)


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


class Bound:
    """A kernel bound to operands, whose run-time numbers can be made wrong."""

    def __init__(self, function, *operands, aliases=(-1,)):
        self.operands = tuple(tensors(operands))
        kernel = trace(function, operands)
        layouts = [getattr(one, "_layout", None) for one in self.operands]
        self.entry = cpu.bind(kernel, layouts, list(aliases))
        lowered = cpu.lower(kernel, layouts, list(aliases), checked=True)
        assert lowered.meta == self.entry.meta.tolist()
        begin, self.places = 1, []
        for step in lowered.steps:
            places = step.meta.places if isinstance(step, Step) else meta_layout(step)
            self.places.append({name: begin + place for name, place in places.items()})
            begin += step.meta_size + 1

    def __call__(self):
        result = launcher.invoke(self.entry, self.operands)
        return result.numpy()

    def wrong(self, name, value, word=0, step=0):
        """Run with one number replaced; return the error's text. A right run follows."""
        place = self.places[step][name] + word
        before = self.entry.meta[place]
        self.entry.meta[place] = value
        try:
            with pytest.raises(BoundsError) as caught:
                self()
        finally:
            self.entry.meta[place] = before
        self()
        return str(caught.value)


def test_the_error_says_what_was_accessed_and_who_asked():
    told = Bound(lambda x: x + x, normal(10)).wrong("inner", 13)
    assert told.startswith("matrix: its code reads element 10 of operand 0, float32 of shape (10,), whose memory is")
    assert "elements 0 to 9; the access was not made" in told and "support.py:" in told


def test_an_extent_too_large_is_caught_on_any_number_of_threads(threads):
    x = normal(300_000)
    bound = Bound(lambda x, y: x * y, x, x)
    assert bound.entry.parallel
    assert "reads element 300000 of operand" in bound.wrong("inner", 300_001)
    np.testing.assert_array_equal(bound(), x * x)


@pytest.mark.parametrize("function", [lambda x: tn.sum(x, 1), lambda x: tn.max(x, 0), lambda x: tn.softmax(x, axis=1)])
def test_reductions_along_rows_and_down_columns_are_checked(function, threads):
    bound = Bound(function, normal(60, 700))
    inner = int(bound.entry.meta[bound.places[0]["inner"]])
    assert "operand 0, float32 of shape (60, 700)" in bound.wrong("inner", inner + 1)
    outer = int(bound.entry.meta[bound.places[0]["outer"]])
    assert "operand 0" in bound.wrong("a0", 10 * (inner + outer), word=2)


@pytest.mark.parametrize("step", [1, 3, 5, -1, -2])
def test_strides_forward_and_backward(step):
    whole = normal(200)
    view = whole[50:150][::step]
    bound = Bound(lambda x: x + 1.0, view)
    np.testing.assert_array_equal(bound(), view + 1)
    stride = bound.places[0]["a0"] + 2
    inner = int(bound.entry.meta[bound.places[0]["inner"]])
    if step == 1:
        assert "elements 0 to 99" in bound.wrong("inner", 101)
    elif step not in SHORT:  # short strides are no run-time numbers
        # The memory around belongs to the same array, but not to the view.
        sign = -1 if step < 0 else 1
        told = bound.wrong("a0", 2 * int(bound.entry.meta[stride]), word=2)
        assert f"reads element {'-' if sign < 0 else ''}" in told
    assert "operand 0" in bound.wrong("a0", -4 if step > 0 else 4, word=1)
    assert "operand 0" in bound.wrong("inner", inner + 1) or step == 1


def test_memory_around_a_target_is_left_alone():
    whole = np.arange(64, dtype=np.float32)
    bound = Bound(lambda x: x * 2.0, whole[16:48], aliases=(0,))
    place = bound.places[0]["inner"]
    bound.entry.meta[place] = 60
    with pytest.raises(BoundsError, match=r"element 32 of operand 0"):
        bound()
    bound.entry.meta[place] = 32
    np.testing.assert_array_equal(whole[:16], np.arange(16))
    np.testing.assert_array_equal(whole[48:], np.arange(48, 64))


def test_a_result_is_checked_when_it_is_written():
    bound = Bound(lambda x: x + 1.0, np.lib.stride_tricks.as_strided(normal(1), (8,), (0,)))
    assert "writes element 8 of result 0, float32 of shape (8,)" in bound.wrong("inner", 9)


INDICES = np.array([[0, 5, 3, 80, 1]])


def test_gather_with_wrong_indices():
    bound = Bound(lambda x, i: tn.gather(x, i, axis=0), normal(6, 5), INDICES)
    (name,) = [name for name in bound.places[0] if name.startswith("gather")]
    told = bound.wrong(name, 1000)
    assert "reads element 403 of operand 0, float32 of shape (6, 5), whose memory is elements 0 to 29" in told


def test_scatter_with_wrong_indices():
    bound = Bound(lambda x, i: tn.scatter_add(x, i, extent=6, axis=0), normal(1, 5), INDICES)
    (step,) = [k for k, places in enumerate(bound.places) if any(name.startswith("scatter") for name in places)]
    (name,) = [name for name in bound.places[step] if name.startswith("scatter")]
    told = bound.wrong(name, 1000, step=step)
    assert "element 403 of result 0, float32 of shape (6, 5), whose memory is elements 0 to 29" in told


def test_products_are_checked_panel_by_panel(threads):
    a, b = normal(150, 160), normal(160, 170)
    bound = Bound(tn.matmul, a, b)
    np.testing.assert_allclose(bound(), a @ b, rtol=1e-4, atol=1e-4)
    last = len(bound.places) - 1
    for name, value in (("M", 400), ("N", 500), ("K", 4000)):
        assert "matrix: its code" in bound.wrong(name, value, step=last), name
    for step, places in enumerate(bound.places[:-1]):
        assert "operand" in bound.wrong("k", 4000, step=step) and "panel" in places


def test_a_row_times_a_matrix_is_checked():
    bound = Bound(tn.matmul, normal(1, 64), normal(64, 300))
    assert "matrix: its code reads" in bound.wrong("K", 600, step=len(bound.places) - 1)


def test_known_calls_are_checked_too():
    function = Operation("f", lambda x: x + 1.0, 1)
    x = tn.from_numpy(normal(20))
    for _ in range(3):
        function.call(x)
    (bound,) = function.bound.values()
    place = 1 + meta_layout(cpu.lower(bound.kernel, [x._layout], [-1], checked=True).steps[0])["inner"]
    bound.entry.meta[place] = 21
    with pytest.raises(BoundsError, match="f: its code reads element 20 of operand 0"):
        function.call(x)
    bound.entry.meta[place] = 20
    np.testing.assert_array_equal(function.call(x).numpy(), x.numpy() + 1)


def test_checked_kernels_have_keys_of_their_own(monkeypatch):
    x = normal(7)
    kernel, layouts = trace(lambda x: x - 3.0, (x,)), [tn.from_numpy(x)._layout]
    texts = [cpu.lower(kernel, layouts, [-1], checked=checked).text() for checked in (False, True)]
    assert texts[0] != texts[1] and texts[1].endswith(" checked")
    first = cpu.bind(kernel, layouts, [-1])
    monkeypatch.setenv("TRUENO_DEBUG", "")
    config.reload()
    second = cpu.bind(kernel, layouts, [-1])
    assert first.function != second.function and second.verify is None and first.verify is not None


@pytest.mark.parametrize("shape", [(0,), (0, 4), (4, 0), (3, 0, 2)])
@pytest.mark.parametrize(
    "function", [lambda x: x + 1.0, tn.sum, lambda x: tn.sum(x, 0), lambda x: tn.mean(x, -1) * 2.0]
)
def test_nothing_is_read_of_operands_without_elements(function, shape):
    got = Bound(function, np.empty(shape, np.float32))()
    with np.errstate(all="ignore"):
        assert got.size == 0 or np.isin(got, [0, np.nan]).all() or np.isnan(got).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int8])
def test_an_empty_sum_of_products_reads_nothing(dtype):
    got = Bound(tn.matmul, np.empty((3, 0), dtype), np.empty((0, 4), dtype))()
    np.testing.assert_array_equal(got, np.zeros((3, 4), dtype))


def test_operands_that_are_empty_along_different_axes():
    assert Bound(lambda x, y: x + y, np.empty((0, 1), np.float32), np.empty((1, 0), np.float32))().shape == (0, 0)
