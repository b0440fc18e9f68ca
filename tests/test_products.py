"""Matrix products: the same numbers whichever library makes them, and never stale."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from forethought.products import FUSED, WORTH, Product, linear

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
