"""Which jobs run where."""

import pytest

from tradewind.errors import SettingsError
from tradewind.settings import parse_settings
from trainer_service.jobs import DeviceSlots, plan_slots, visible_gpus


def test_plan_slots_without_a_gpu_runs_auto_on_the_processor_and_has_no_cuda_slot() -> None:
    slots = plan_slots(DeviceSlots(cpu=2, cuda=4), gpus=())

    assert [(slot.name, slot.takes) for slot in slots] == [
        ("cpu-0", ("cpu", "auto")),
        ("cpu-1", ("cpu", "auto")),
    ]
    assert {slot.environment["CUDA_VISIBLE_DEVICES"] for slot in slots} == {""}


def test_plan_slots_with_gpus_spreads_auto_and_cuda_jobs_over_them() -> None:
    slots = plan_slots(DeviceSlots(cpu=1, cuda=3), gpus=("2", "GPU-ab"))

    assert [
        (slot.device, slot.takes, slot.environment["CUDA_VISIBLE_DEVICES"]) for slot in slots
    ] == [
        ("cuda", ("cuda", "auto"), "2"),
        ("cuda", ("cuda", "auto"), "GPU-ab"),
        ("cuda", ("cuda", "auto"), "2"),
        ("cpu", ("cpu",), ""),
    ]


@pytest.mark.parametrize(
    ("variable", "count", "names"),
    [(None, 2, ("0", "1")), ("3, GPU-ab", 2, ("3", "GPU-ab")), ("", 0, ()), ("1,-1", 1, ("1",))],
)
def test_visible_gpus_are_those_that_the_service_was_given(
    monkeypatch: pytest.MonkeyPatch, variable: str | None, count: int, names: tuple[str, ...]
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if variable is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)

    assert visible_gpus(count) == names


def test_device_slots_of_nothing_are_refused() -> None:
    with pytest.raises(SettingsError, match="at least one device needs a slot"):
        parse_settings({"cpu": 0, "cuda": 0}, DeviceSlots)
