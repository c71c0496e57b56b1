"""Which build of torch the images are made of."""

import re
from pathlib import Path

import pytest

from tools.wheels import torch_constraint

ROOT = Path(__file__).resolve().parents[3]
PINS = "sympy==1.14.0\ntorch==2.13.0\ntorchmetrics==1.0\n"


@pytest.mark.parametrize(
    ("build", "machine", "constraint"),
    [("cpu", "x86_64", "torch==2.13.0+cpu"), ("any", "x86_64", ""), ("cpu", "aarch64", "")],
)
def test_torch_constraint_with_a_build_and_a_processor(
    build: str, machine: str, constraint: str
) -> None:
    assert torch_constraint(PINS, build, machine) == constraint
    assert torch_constraint("numpy==2.4.6\n", build, machine) == ""


@pytest.mark.parametrize("service", ["inference", "risk", "trainer"])
def test_image_takes_its_packages_through_the_script_that_keeps_torch_small(service: str) -> None:
    recipe = (ROOT / "docker" / f"{service}.Dockerfile").read_text()
    assert "/tmp/install.sh /tmp/requirements.txt" in recipe
    assert not re.search(r"pip install (?!--no-deps)", recipe)
