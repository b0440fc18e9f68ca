"""Matrix products: the same numbers whichever library makes them, and never stale."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from forethought import products
from forethought.products import FUSED, MADE, WORTH, Product, linear

FEW, MANY = 3, 600
"""Rows with which oneDNN would lose, and with which it wins."""


def parts(rows: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    values, weight = torch.randn(rows, 70, generator=generator), torch.randn(90, 70)
    return values, 0.1 * weight, torch.randn(90)


def test_many_rows_are_enough_for_the_quicker_library_and_few_are_not() -> None:
    """So that the tests below meet both."""
    assert FEW * 70 * 90 < WORTH < MANY * 70 * 90


@pytest.mark.parametrize("after", list(FUSED))
@pytest.mark.parametrize("rows", [FEW, MANY])
@torch.no_grad()
def test_a_product_is_what_mathematics_says(rows, after) -> None:
    """In double precision, step by step; of strided values and with leading dimensions too."""
    values, weight, bias = parts(rows)
    expected = values.double() @ weight.double().T + bias.double()
    expected = expected if after is None else after(expected)
    for made in (
        linear(values, weight, bias, after),
        linear(values.repeat(1, 2)[:, :70], weight, bias, after),
        linear(values.view(3, -1, 70), weight, bias, after).flatten(0, 1),
        Product(rows, weight, bias, after)(values),
    ):
        torch.testing.assert_close(made.double(), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(linear(values, weight), linear(values, weight, torch.zeros(90)))


def uses_onednn(monkeypatch) -> list[int]:
    """Counts what oneDNN is asked for."""
    counted, onednn = [], products._onednn
    monkeypatch.setattr(products, "_onednn", lambda *args: counted.append(1) or onednn(*args))
    return counted


@pytest.mark.skipif(not products.ONEDNN, reason="oneDNN has no kernels for this processor")
@torch.no_grad()
def test_each_library_makes_what_it_is_quicker_at(monkeypatch) -> None:
    """One row below the threshold and at it, whether packed before or not."""
    counted, (_, weight, bias) = uses_onednn(monkeypatch), parts(FEW)
    enough = -(-WORTH // (90 * (70 + MADE)))
    for rows, made in ((enough - 1, 0), (enough, 1)):
        values = torch.randn(rows, 70)
        expected = functional.linear(values, weight, bias)
        for one in (linear, lambda *args, rows=rows: Product(rows, *args[1:])(args[0])):
            counted.clear()
            torch.testing.assert_close(one(values, weight, bias), expected, atol=1e-5, rtol=1e-5)
            assert len(counted) == made


def called(values: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> list[torch.Tensor]:
    """What a call makes, what a product made for it makes, and what is to be expected."""
    made = functional.linear(values, weight, bias).sigmoid()
    packed = Product(len(values), weight, bias, torch.sigmoid)(values)
    return [linear(values, weight, bias, torch.sigmoid), packed, made]


@pytest.mark.parametrize("rows", [FEW, MANY])
@torch.no_grad()
def test_in_other_precision_products_are_pytorchs(rows, monkeypatch) -> None:
    """Under autocast, and where values are in half or double precision."""
    counted, (values, weight, bias) = uses_onednn(monkeypatch), parts(rows)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        *found, expected = called(values, weight, bias)
    assert all(torch.equal(one, expected) for one in found) and expected.dtype == torch.bfloat16
    for dtype in (torch.float64, torch.bfloat16):
        *found, expected = called(values.to(dtype), weight.to(dtype), bias.to(dtype))
        assert all(torch.equal(one, expected) for one in found) and expected.dtype == dtype
    assert not counted


@pytest.mark.parametrize("rows", [FEW, MANY])
@torch.no_grad()
def test_products_can_be_batched(rows, monkeypatch) -> None:
    """Over values, and over weights as ensembles have them."""
    counted, (values, weight, bias) = uses_onednn(monkeypatch), parts(rows)
    many, weights = torch.stack([values, -values]), torch.stack([weight, 2 * weight])
    for asked in ((many, weight, bias), (values, weights, bias), (many, weights, bias)):
        batched = [one.ndim > kept.ndim for one, kept in zip(asked, parts(rows), strict=True)]
        dims = tuple(0 if one else None for one in batched)
        found = torch.vmap(called, in_dims=dims)(*asked)
        for at in range(2):
            mine = [one[at] if has else one for one, has in zip(asked, batched, strict=True)]
            expected = functional.linear(*mine).sigmoid()
            for one in found:
                torch.testing.assert_close(one[at], expected, atol=1e-5, rtol=1e-5)
    assert not counted


def test_gradients_of_a_product_made_for_it_are_the_plain_ones_too() -> None:
    values, weight, bias = (part.requires_grad_() for part in parts(MANY))
    gradients = [
        torch.autograd.grad(made.square().sum(), (values, weight, bias))
        for made in called(values, weight, bias)
    ]
    for found in gradients[:2]:
        for one, other in zip(found, gradients[2], strict=True):
            torch.testing.assert_close(one, other, atol=0, rtol=0)


def test_gradients_are_those_of_the_plain_product() -> None:
    values, weight, bias = (part.requires_grad_() for part in parts(MANY))
    made = linear(values, weight, bias, functional.gelu)
    plain = functional.gelu(functional.linear(values, weight, bias))
    torch.testing.assert_close(made, plain, atol=0, rtol=0)
    for one, other in zip(
        torch.autograd.grad(made.square().sum(), (values, weight, bias)),
        torch.autograd.grad(plain.square().sum(), (values, weight, bias)),
        strict=True,
    ):
        torch.testing.assert_close(one, other, atol=0, rtol=0)


@pytest.mark.parametrize("rows", [FEW, MANY])
@torch.no_grad()
def test_weights_that_changed_are_heeded(rows) -> None:
    values, weight, bias = parts(rows)
    before = linear(values, weight, bias)
    weight.mul_(2), bias.mul_(2)
    torch.testing.assert_close(linear(values, weight, bias), 2 * before)
