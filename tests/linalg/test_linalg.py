"""Functions of trueno.linalg: NumPy's answers for every form of arguments, identities, gradients and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import trueno as tn
from trueno import linalg
from trueno.linalg.operands import spread

LinAlgError = np.linalg.LinAlgError


def array(*shape: int, seed: int = 0, dtype: Any = np.float64) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-2, 2, shape).astype(dtype)


def leaf(value: np.ndarray) -> tn.Tensor:
    return tn.from_numpy(value.copy()).requires_grad_()


def check(name: str, *args: Any, **kwargs: Any) -> None:
    """Assert that linalg's function gives what NumPy's gives: dtype, shape and values."""
    convert = [tn.from_numpy(one.copy()) if isinstance(one, np.ndarray) else one for one in args]
    got, want = getattr(linalg, name)(*convert, **kwargs), getattr(np.linalg, name)(*args, **kwargs)
    many = zip(got, want, strict=True) if isinstance(want, tuple) else [(got, want)]
    for one, other in many:
        assert isinstance(one, tn.Tensor)
        expected = np.asarray(other)
        assert one.dtype == expected.dtype
        assert one.shape == expected.shape
        close = 1e-4 if expected.dtype == np.float32 else 1e-10
        np.testing.assert_allclose(one.detach().numpy(), expected, rtol=close, atol=close)


def test_every_name_of_numpy_is_there() -> None:
    assert set(np.linalg.__all__) <= set(linalg.__all__)
    assert linalg.LinAlgError is np.linalg.LinAlgError
    assert all(getattr(linalg, name).__doc__ for name in linalg.__all__)


ORDERS = [None, 2, -2, 1, -1, np.inf, -np.inf, "fro", "nuc"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
@pytest.mark.parametrize("ord", ORDERS, ids=str)
def test_norms_of_matrices(ord: Any, dtype: Any) -> None:
    for shape, axis in (((3, 4), None), ((2, 3, 4), (1, 2)), ((4, 3, 2), (2, 0)), ((2, 3, 4), (-1, 0))):
        for keepdims in (False, True):
            check("norm", array(*shape, dtype=dtype), ord, axis, keepdims)
    if dtype != np.int32:
        check("matrix_norm", array(2, 3, 4, dtype=dtype), ord="fro" if ord is None else ord)


@pytest.mark.parametrize("ord", [None, 2, 1, 0, 3, 2.5, -1, -2, np.inf, -np.inf], ids=str)
def test_norms_of_vectors(ord: Any) -> None:
    for shape, axis in (((5,), None), ((2, 5), 1), ((5, 2), -2)):
        for keepdims in (False, True):
            check("norm", array(*shape), ord, axis, keepdims)
    if ord is not None:
        check("vector_norm", array(2, 3, 4), ord=ord)
        check("vector_norm", array(2, 3, 4), ord=ord, axis=(0, 2), keepdims=True)


def test_norms_of_anything() -> None:
    check("norm", array(2, 3, 4))
    check("norm", [3, 4])
    check("norm", [[1.0, 2.0], [3.0, 4.0]], "fro")


@pytest.mark.parametrize("p", [None, 1, -1, 2, -2, np.inf, -np.inf, "fro"], ids=str)
def test_condition_numbers(p: Any) -> None:
    check("cond", spread(np.random.default_rng(0), (3, 3)), p)
    check("cond", spread(np.random.default_rng(0), (2, 3, 3)), p)
    if p not in (None, 2, -2):
        check("cond", np.ones((2, 2)), p)


def test_condition_numbers_of_matrices_that_are_not_square() -> None:
    check("cond", array(4, 2))
    assert linalg.cond(tn.zeros(2, 2, dtype=tn.float64)).item() != 1
    assert tn.gradcheck(linalg.cond, [leaf(spread(np.random.default_rng(0), (3, 2)))])


def test_rank() -> None:
    check("matrix_rank", np.eye(4))
    check("matrix_rank", np.ones((2, 3, 3)))
    check("matrix_rank", np.diag([1.0, 1e-3]), tol=1e-2)
    check("matrix_rank", np.diag([1.0, 1e-3]), rtol=1e-2)
    check("matrix_rank", np.diag([1.0, -1.0, 0.0]), hermitian=True)
    check("matrix_rank", np.ones(4))


@pytest.mark.parametrize("n", [-3, -1, 0, 1, 2, 3, 7])
def test_matrix_powers(n: int) -> None:
    matrix = spread(np.random.default_rng(0), (2, 3, 3))
    check("matrix_power", matrix, n)
    if n:
        assert tn.gradcheck(lambda a: linalg.matrix_power(a, n), [leaf(matrix)], rtol=1e-2)


def test_a_power_is_a_new_array() -> None:
    a = tn.ones(2, 2)
    linalg.matrix_power(a, 1)[0, 0] = 5.0
    assert a[0, 0].item() == 1


def test_products_of_many() -> None:
    a, b, c, d = array(10, 3), array(3, 20, seed=1), array(20, 2, seed=2), array(2, 7, seed=3)
    for many in ([a, b], [a, b, c], [a, b, c, d], [a[0], b, c, d[:, 0]]):
        got = linalg.multi_dot([tn.from_numpy(one) for one in many])
        np.testing.assert_allclose(got.numpy(), np.linalg.multi_dot(many), rtol=1e-12)
        assert got.shape == np.shape(np.linalg.multi_dot(many))
    out = tn.zeros(10, 20, dtype=tn.float64)
    assert linalg.multi_dot([a, b], out=out) is out
    np.testing.assert_allclose(out.numpy(), a @ b)


def test_the_cheapest_order_is_taken() -> None:
    from trueno.linalg.products import _best_cuts

    # Cormen et al., figure 15.5: ((A1 (A2 A3)) ((A4 A5) A6)).
    cuts = _best_cuts([30, 35, 15, 5, 10, 20, 25])
    assert (cuts[0, 5], cuts[0, 2], cuts[3, 5]) == (2, 0, 4)


def test_products() -> None:
    a, b = array(2, 4, 3), array(2, 4, 3, seed=1)
    check("cross", a, b)
    check("cross", np.moveaxis(a, -1, 0), np.moveaxis(b, -1, 0), axis=0)
    check("outer", a[0, 0], b[0, :, 0])
    check("vecdot", a, b)
    check("vecdot", a, b, axis=1)
    check("matmul", a, np.swapaxes(b, 1, 2))
    check("matrix_transpose", a)
    check("tensordot", a, b, axes=3)
    check("tensordot", a, b, axes=0)
    check("tensordot", a, np.transpose(b), axes=2 - 1)
    check("tensordot", a, b, axes=((1, 2), (1, 2)))
    check("tensordot", a, b, axes=((-1,), (2,)))
    assert tn.gradcheck(linalg.cross, [leaf(a), leaf(b)])
    assert tn.gradcheck(lambda x, y: linalg.tensordot(x, y, axes=((0, 2), (0, 2))), [leaf(a), leaf(b)])


@pytest.mark.parametrize("offset", [0, 1, -1, 2, -4, 5])
def test_diagonals(offset: int) -> None:
    check("diagonal", array(2, 3, 4), offset=offset)
    check("trace", array(2, 3, 4), offset=offset)
    check("trace", array(3, 3, dtype=np.int32), offset=offset)
    assert tn.gradcheck(lambda x: linalg.trace(x, offset=offset) if abs(offset) < 3 else x, [leaf(array(3, 4))])


def test_a_diagonal_is_a_view_that_may_only_be_read() -> None:
    x = tn.zeros(3, 3)
    diagonal = linalg.diagonal(x)
    x[1, 1] = 2.0
    assert diagonal.tolist() == [0, 2, 0]
    with pytest.raises(ValueError, match="read-only"):
        diagonal.fill_(2.0)


def test_solutions_of_one_vector() -> None:
    a = spread(np.random.default_rng(0), (3, 3))
    check("solve", a, array(3))
    check("solve", np.stack([a, a.T]), array(3))
    check("solve", a, array(3, 0))
    check("lstsq", array(5, 3), array(5), rcond=None)
    check("lstsq", array(5, 3), array(5, 2), rcond=1e-3)
    assert tn.gradcheck(linalg.solve, [leaf(a), leaf(array(3))])
    assert tn.gradgradcheck(linalg.solve, [leaf(a), leaf(array(3))])


@pytest.mark.parametrize("name", ["inv", "det", "slogdet", "eigvalsh", "svdvals"])
def test_integers_and_lists_become_float64(name: str) -> None:
    check(name, [[2, 1], [1, 3]])
    check(name, np.array([[2, 1], [1, 3]], np.int32))


@pytest.mark.parametrize("name", ["inv", "det", "slogdet", "cholesky", "svdvals", "eigvalsh", "qr", "pinv"])
def test_empty_batches(name: str) -> None:
    check(name, np.empty((0, 3, 3)))


def test_cholesky() -> None:
    a = array(3, 3)
    positive = a @ a.T + np.eye(3)
    check("cholesky", positive)
    check("cholesky", positive, upper=True)
    lower_only = np.tril(positive)
    check("cholesky", lower_only)
    check("cholesky", lower_only.T, upper=True)


@pytest.mark.parametrize("uplo", ["L", "U"])
def test_one_triangle_is_read(uplo: str) -> None:
    a = array(4, 4)
    check("eigvalsh", a, uplo)
    got, want = linalg.eigh(tn.from_numpy(a), uplo), np.linalg.eigh(a, uplo)
    np.testing.assert_allclose(got.eigenvalues.numpy(), want.eigenvalues)
    np.testing.assert_allclose(np.abs(got.eigenvectors.numpy()), np.abs(want.eigenvectors))


@pytest.mark.parametrize("mode", ["reduced", "complete", "r"])
@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4)], ids=str)
def test_qr(shape: tuple, mode: str) -> None:
    check("qr", array(*shape), mode)
    if mode == "r":
        assert tn.gradcheck(lambda a: linalg.qr(a, "r"), [leaf(array(*shape))])


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4), (2, 3, 2)], ids=str)
def test_svd(shape: tuple, full: bool) -> None:
    a = array(*shape)
    u, s, vh = linalg.svd(tn.from_numpy(a), full_matrices=full)
    want = np.linalg.svd(a, full_matrices=full)
    assert (u.shape, s.shape, vh.shape) == tuple(one.shape for one in want)
    count = s.shape[-1]
    np.testing.assert_allclose(((u[..., :count] * s.unsqueeze(-2)) @ vh[..., :count, :]).numpy(), a, atol=1e-12)
    check("svd", a, compute_uv=False)


def test_svd_of_symmetric_matrices() -> None:
    a = array(4, 4)
    a += a.T
    u, s, vh = linalg.svd(tn.from_numpy(a), hermitian=True)
    np.testing.assert_allclose(((u * s) @ vh).numpy(), a, atol=1e-12)
    np.testing.assert_allclose(s.numpy(), np.linalg.svd(a, compute_uv=False))
    assert tn.gradcheck(lambda x: linalg.svd((x + x.mT) * 0.5, compute_uv=False, hermitian=True), [leaf(a)])


def test_equal_singular_values_have_a_gradient_as_long_as_no_vector_is_used() -> None:
    x = leaf(np.eye(3))
    (g,) = tn.grad(linalg.svd(x).S.sum(), x)
    np.testing.assert_allclose(g.numpy(), np.eye(3), atol=1e-12)


def test_pinv() -> None:
    check("pinv", array(4, 2))
    check("pinv", np.diag([1.0, 1e-3]), 1e-2)
    check("pinv", np.diag([1.0, 1e-3]), rtol=1e-2)
    check("pinv", np.diag([1.0, 2.0]), hermitian=True)
    # A gradient for a rank below the shape, along directions that keep the rank.
    a, b = leaf(array(4, 2)), leaf(array(2, 3, seed=1))
    assert tn.gradcheck(lambda a, b: linalg.pinv(a @ b, rcond=1e-8), [a, b])


def test_the_determinant_of_singular_matrices_has_a_gradient() -> None:
    """Of rank n - 1 the cofactors, of rank n - 2 zero; PyTorch's is inexact there."""
    matrix = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]])
    (g,) = tn.grad(linalg.det(x := leaf(matrix)), x)
    np.testing.assert_allclose(g.numpy(), [[-3, 6, -3], [6, -12, 6], [-3, 6, -3]], atol=1e-12)
    (g,) = tn.grad(linalg.det(x := leaf(np.ones((3, 3)))), x)
    np.testing.assert_allclose(g.numpy(), np.zeros((3, 3)), atol=1e-12)
    assert tn.gradcheck(linalg.det, [leaf(np.stack([matrix, np.eye(3)]))])


def test_expm() -> None:
    for size in (0.1, 1.0, 30.0):
        vectors = spread(np.random.default_rng(0), (2, 4, 4))
        values = size * np.linspace(-1.0, 1.0, 4)
        matrix = (vectors * values) @ np.linalg.inv(vectors)
        want = (vectors * np.exp(values)) @ np.linalg.inv(vectors)
        got = linalg.expm(tn.from_numpy(matrix)).numpy()
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-11 * np.abs(want).max())
    rotation = linalg.expm([[0.0, -np.pi / 2], [np.pi / 2, 0.0]]).numpy()
    np.testing.assert_allclose(rotation, [[0, -1], [1, 0]], atol=1e-14)
    assert linalg.expm(tn.zeros(3, 3)).tolist() == np.eye(3).tolist()
    assert linalg.expm(tn.zeros(0, 3, 3)).shape == (0, 3, 3)
    # Matrices of a batch are scaled each by its own norm.
    both = np.stack([array(3, 3) * 1e-3, array(3, 3) * 20])
    for k in range(2):
        np.testing.assert_allclose(linalg.expm(both)[k].numpy(), linalg.expm(both[k]).numpy(), rtol=1e-13)
    assert tn.gradcheck(linalg.expm, [leaf(np.stack([array(3, 3), array(3, 3, seed=1) * 3]))], rtol=1e-2)
    assert tn.gradgradcheck(linalg.expm, [leaf(array(2, 2))], atol=1e-4)


def test_expm_against_pytorch() -> None:
    torch = pytest.importorskip("torch")
    for scale in (0.5, 8.0):
        a = array(2, 4, 4) * scale
        ours, theirs = leaf(a), torch.tensor(a, requires_grad=True)
        x, y = linalg.expm(ours), torch.linalg.matrix_exp(theirs)
        np.testing.assert_allclose(
            x.detach().numpy(), y.detach().numpy(), rtol=1e-10, atol=1e-12 * y.abs().max().item()
        )
        x.sum().backward()
        y.sum().backward()
        np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-8)


def test_tensor_equations() -> None:
    a = spread(np.random.default_rng(0), (12, 12))
    check("tensorsolve", a.reshape(4, 3, 2, 6), array(4, 3))
    check("tensorsolve", a.reshape(2, 6, 4, 3), array(4, 3), axes=(0, 1))
    check("tensorinv", a.reshape(4, 3, 2, 6))
    check("tensorinv", a.reshape(12, 4, 3), ind=1)
    assert tn.gradcheck(linalg.tensorsolve, [leaf(a.reshape(4, 3, 2, 6)), leaf(array(4, 3))])


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("inv", (np.ones((3, 3)),)),
        ("inv", (np.ones((2, 3)),)),
        ("inv", (np.ones(3),)),
        ("solve", (np.zeros((2, 2)), np.ones(2))),
        ("solve", (np.eye(3), np.ones(2))),
        ("cholesky", (-np.eye(2),)),
        ("det", (np.ones((2, 3)),)),
        ("eigh", (np.ones((2, 3)),)),
        ("eigh", (np.eye(2), "X")),
        ("eig", (np.ones((2, 3)),)),
        ("eig", (np.array([[np.nan, 1.0], [1.0, 1.0]]),)),
        ("svd", (np.full((2, 2), np.nan),)),
        ("lstsq", (np.ones((2, 2)), np.ones(3))),
        ("lstsq", (np.ones((2, 2, 2)), np.ones(2))),
        ("matrix_power", (np.ones((2, 3)), 2)),
        ("matrix_power", (np.ones((2, 2)), -1)),
        ("matrix_power", (np.ones((2, 2)), 1.5)),
        ("norm", (np.ones((2, 2, 2)), "fro")),
        ("norm", (np.ones((2, 2)), 3)),
        ("norm", (np.ones(2), "fro")),
        ("norm", (np.ones((2, 2)), None, 5)),
        ("matrix_norm", (np.ones(2),)),
        ("matrix_transpose", (np.ones(2),)),
        ("cond", (np.empty((0, 0)),)),
        ("cond", (np.ones((2, 3)), 1)),
        ("multi_dot", ([np.ones((2, 2))],)),
        ("multi_dot", ([np.ones((2, 2)), np.ones((2, 2, 2)), np.ones((2, 2))],)),
        ("tensorsolve", (np.ones((2, 2, 2)), np.ones(2))),
        ("tensorinv", (np.ones((2, 2)), 0)),
        ("cross", (np.ones(4), np.ones(4))),
        ("outer", (np.ones((2, 2)), np.ones(2))),
        ("vecdot", (np.ones(2), np.ones(3))),
        ("tensordot", (np.ones((2, 3)), np.ones((4, 3)))),
        ("qr", (np.ones(2),)),
        ("qr", (np.ones((2, 2)), "other")),
        ("inv", (np.ones((2, 2), np.float16),)),
        ("svdvals", (np.ones(2),)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_errors_are_of_numpys_types(name: str, args: tuple) -> None:
    with pytest.raises(Exception) as theirs:
        getattr(np.linalg, name)(*args)
    converted = [tn.from_numpy(one) if isinstance(one, np.ndarray) else one for one in args]
    with pytest.raises(theirs.type):
        getattr(linalg, name)(*converted)


def test_what_is_not_differentiable_says_so() -> None:
    for call in (lambda a: linalg.qr(a, "complete").Q, lambda a: linalg.svd(a).U):
        with pytest.raises(RuntimeError, match="differentiable"):
            call(leaf(array(4, 2))).sum().backward()


def test_eigenvalues_are_real_where_numpys_are() -> None:
    turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    assert linalg.eigvals(turn).dtype == linalg.eig(turn).eigenvectors.dtype == np.complex128
    assert linalg.eigvals(np.diag([3.0, 1.0])).dtype == np.float64
    assert linalg.eigvals(np.diag([3.0, 1.0]) + 0j).dtype == np.complex128
    assert sorted(linalg.eigvals(np.diag([3.0, 1.0])).tolist()) == [1.0, 3.0]


@pytest.mark.parametrize("name", ["svd", "eigh", "eig"])
def test_functions_of_the_phase_of_vectors_have_no_gradient(name: str) -> None:
    a = array(3, 3) + 1j * array(3, 3, seed=1)
    vectors = getattr(linalg, name)(leaf(a + a.conj().T))[0 if name == "svd" else 1]
    with pytest.raises(RuntimeError, match="phase"):
        (vectors.real * tn.from_numpy(array(3, 3, seed=2))).sum().backward()


def test_another_device(monkeypatch: pytest.MonkeyPatch) -> None:
    from trueno.runtime.layout import layout_of
    from trueno.tensor import wrap

    elsewhere = wrap(object(), layout_of(np.dtype("f4"), (2, 2), None, "opencl:0"))
    with pytest.raises(TypeError, match=r"inv: the tensor is on opencl:0; move it with .cpu\(\)"):
        linalg.inv(elsewhere)
