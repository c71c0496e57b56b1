"""What the images weigh: a build of torch for CUDA would be gigabytes."""

import json
import subprocess

import pytest

from tests.compose.conftest import ComposeStack

# Megabytes: what they weigh today and a tenth. With CUDA it would be 5,300 and 5,800.
LIMITS_MB = {"inference": 1_450, "risk": 670, "trainer": 2_020}


@pytest.mark.parametrize("service", LIMITS_MB)
def test_image_without_cuda_weighs_what_it_should(stack: ComposeStack, service: str) -> None:
    image = stack.inspect(service)["Image"]
    done = subprocess.run(
        ["docker", "image", "inspect", image], capture_output=True, text=True, check=True
    )
    (found,) = json.loads(done.stdout)
    assert found["Size"] / 1e6 <= LIMITS_MB[service]


@pytest.mark.parametrize("service", ["inference", "trainer"])
def test_torch_of_an_image_is_a_build_for_the_cpu(stack: ComposeStack, service: str) -> None:
    code = "import torch; print(torch.version.cuda)"
    assert stack.execute(service, "python", "-c", code) == "None"
    packages = stack.execute(service, "pip", "list", "--format=freeze").splitlines()
    assert [name for name in packages if name.startswith(("nvidia-", "triton"))] == []
